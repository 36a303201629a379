"""`serve`: a GGUF file, or a run, behind an OpenAI-compatible address."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lexitrain.errors import InputError, MissingExtra
from lexitrain.evaluation import answer_context, answer_gbnf, plain_text
from lexitrain.exporting.export import export
from lexitrain.serving import LlamaServer, Offer, file_facts, gateway, is_gguf_file
from lexitrain.storage import user_path
from lexitrain.tasks import own_tasks, registry

LOOPBACK = "127.0.0.1"


def serve(
    model: str | Path,
    *,
    adapters: Mapping[str, str | Path] | None = None,
    host: str = LOOPBACK,
    port: int = 8080,
    key: str = "",
    quantize: str = "Q8_0",
    slots: int = 4,
    threads: int | None = None,
    custom_tasks: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests until the process is told to end.

    Args:
        model: a GGUF file, or a run: its newest export is taken, and one made where there is none.
        adapters: name for clients -> GGUF adapter; a request names one as its model.
        host, port: where it listens.
        key: that clients need; beyond this machine there must be one.
        quantize: of the export that is made.
        slots: requests answered at once.
        threads: that compute; by default one a core.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        tell: called with sentences on what goes on.

    Raises:
        InputError: no key where others can reach it, or the port is taken.
        ModelError: there is no such file, or llama.cpp cannot load it.
        MissingExtra: a package is not installed.
    """
    try:
        import httpx  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(error.name or "starlette", "export") from None
    if not key and not _is_loopback(host):
        raise InputError(
            f"Others can reach {host}, and no key is set.",
            where="--host",
            fix="Set a key in the environment: LEXITRAIN_API_KEY=… lexitrain serve …",
        )
    _require_free(host, port)
    file = _file(model, quantize, tell)
    facts = file_facts(file)
    known = registry(own_tasks(custom_tasks, (), given=custom_tasks, trust=False).sources, None)
    tasks = {name: task for name, task in known.items() if not facts.tasks or name in facts.tasks}
    named = {name: user_path(path) for name, path in (adapters or {}).items()}
    with LlamaServer(
        file,
        adapters=list(named.values()),
        slots=slots,
        threads=threads,
        context=answer_context(facts),
    ) as server:
        offer = Offer(
            model=file.stem,
            adapters=tuple(named),
            grammars={name: answer_gbnf(task) for name, task in tasks.items()},
            plain=plain_text(facts.specials),
            key=key,
        )
        tell(f"{file.name} answers at http://{host}:{port}/v1")
        uvicorn.run(
            gateway(server, offer, tell),
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=5,
            server_header=False,
        )


def _file(model: str | Path, quantize: str, tell: Callable[[str], None]) -> Path:
    """The GGUF file; of a run its newest one, which is made where there is none."""
    if is_gguf_file(model):
        return user_path(model)
    exported = sorted(
        (user_path(model) / "export").glob(f"*-{quantize.upper()}.gguf"),
        key=lambda path: path.stat().st_mtime,
    )
    if exported:
        return exported[-1]
    tell(f"There is no export of this run in {quantize} yet; it is made.")
    return export(model, ["gguf"], quantize=[quantize]).files[0].path


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"It cannot listen at {host}:{port} ({getattr(error, 'strerror', None) or error}).",
                where="--port",
                fix="Choose another port, or end the program that uses it.",
            ) from None
