"""A GGUF file behind llama.cpp's own server, in a process that lives as long as the `with` block."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import IO, Any, Self, cast

from lexitrain.errors import MissingExtra, ModelError
from lexitrain.storage import user_path

_MAGIC = b"GGUF"
_TIMEOUT_SECONDS = 600.0
_LOOPBACK = "127.0.0.1"


def is_gguf_file(path: str | Path) -> bool:
    """Whether this names a file that begins as GGUF does."""
    try:
        with user_path(path).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def require_gguf_file(path: Path) -> None:
    """Nothing, where this is a file that begins as GGUF does.

    Raises:
        ModelError: it is not.
    """
    if not is_gguf_file(path):
        there = "This is no GGUF file." if path.is_file() else "There is no such file."
        raise ModelError(there, where=path, fix="Write one with `lexitrain export RUN --to gguf`.")


def require_llama_cpp() -> None:
    """Nothing, where llama.cpp is installed.

    Raises:
        MissingExtra: it is not.
    """
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise MissingExtra("xllamacpp", "export")


class LlamaServer:
    """llama.cpp with one file, and adapters for it. A context manager.

    Attributes:
        address: such as `http://127.0.0.1:40111`; known inside the block.
        key: that requests need.
        seconds_to_load: from the start of the process until it listens.
        pid: of the process.

    Args:
        file: the model.
        adapters: GGUF adapters for it; a request names by number which one it wants.
        adapter_scale: of each adapter in requests that name none.
        slots: prompts answered together.
        context: tokens of a prompt with its answer.
        threads: that compute; by default one a core.
        host, port: where it listens; by default for this machine alone, on a free port.
        key: by default a random one.
        alias: name that the model has for those who ask.
        embeddings: whether hidden states can be asked for.
        cache_prompt: whether the beginning that a prompt shares with the one before it is computed once.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        adapters: Sequence[Path] = (),
        adapter_scale: float = 0.0,
        slots: int = 8,
        context: int = 1024,
        threads: int | None = None,
        host: str = _LOOPBACK,
        port: int = 0,
        key: str | None = None,
        alias: str | None = None,
        embeddings: bool = False,
        cache_prompt: bool = True,
    ) -> None:
        self.file = user_path(file)
        self.key = secrets.token_urlsafe(24) if key is None else key
        self.address = ""
        self.seconds_to_load = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._words = ""
        self._settings: dict[str, Any] = {
            "file": str(self.file),
            "adapters": [str(each) for each in adapters],
            "adapter_scale": adapter_scale,
            "slots": slots,
            "context": context,
            "threads": threads or os.cpu_count() or 1,
            "host": host,
            "port": port,
            "keys": [self.key],
            "alias": alias or self.file.stem,
            "embeddings": embeddings,
            "cache_prompt": cache_prompt,
        }

    @property
    def slots(self) -> int:
        """Prompts answered together."""
        return int(self._settings["slots"])

    @property
    def context(self) -> int:
        """Tokens of a prompt with its answer."""
        return int(self._settings["context"])

    @property
    def adapters(self) -> int:
        """How many there are."""
        return len(self._settings["adapters"])

    @property
    def pid(self) -> int:
        """Of the process; 0 outside the block."""
        return 0 if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        process = self._process  # another thread may start it again
        return process is not None and process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it listens."""
        return bool(self.address) and self.is_running

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it listens.

        Raises:
            MissingExtra: llama.cpp is not installed.
            ModelError: there is no such file, or llama.cpp cannot load it.
        """
        require_llama_cpp()
        for file in (self.file, *map(Path, self._settings["adapters"])):
            require_gguf_file(file)
        start = perf_counter()
        self.stop()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            # -P: no module is taken from the folder where the user happens to be.
            [sys.executable, "-P", "-m", "lexitrain.serving.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(self._settings) + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
            self.address = str(json.loads(said)["address"])
        except (OSError, ValueError, KeyError):
            self._end()
            raise ModelError(
                f"llama.cpp cannot load this file{self._last_words()}.",
                where=self.file,
                fix="Export it anew; where it has adapters, they must be for this base.",
            ) from None
        except BaseException:  # Ctrl-C while it loads
            self._end()
            raise
        self.seconds_to_load = perf_counter() - start

    def stop(self) -> None:
        """End the process, if there is one."""
        self._end()
        self._process = None

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        self.address = ""  # the next process that has the port is another one
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it has not read any more
                    pipe.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._words = self._last_words()
        if self._log is not None:
            self._log.close()
            self._log = None

    def memory_bytes(self) -> int:
        """What the process has in memory, the pages of the file that it has read included."""
        import psutil

        return int(psutil.Process(self.pid).memory_info().rss)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON that the server replies with.

        Args:
            path: such as `/completion`.
            body: what is sent; None: a GET.

        Raises:
            ModelError: it refuses, or has ended.
        """
        request = urllib.request.Request(
            self.address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        try:
            with _DIRECT.open(request, timeout=_TIMEOUT_SECONDS) as reply:
                return cast("Any", json.loads(reply.read()))
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace").strip()
            raise ModelError(
                f"llama.cpp refuses: {said or error.reason}.", where=self.file
            ) from None
        except OSError as error:
            how = "does not answer" if self.is_running else "has ended"
            raise ModelError(
                f"llama.cpp {how} ({error}){self._last_words()}.", where=self.file
            ) from None

    def _last_words(self) -> str:
        """What the process said last on its standard error."""
        if self._log is None:
            return self._words
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode(errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if line.strip()), "")
        return f": {said.strip()[:300].rstrip('.')}" if said else ""


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks the address itself: a proxy of the environment cannot reach this machine's own."""
