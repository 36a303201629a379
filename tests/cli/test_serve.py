"""`lexitrain serve` as a user starts it: a process of its own, and a port."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from lexitrain.cli.main import run as lexitrain
from tests.exported import random_adapter, write_adapter, write_nano
from tests.serving.served import ASKED, is_there, wait_until

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def nano_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nano(tmp_path_factory.mktemp("gguf") / "nano.gguf", "Q8_0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Command:
    """A running `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def asked(self, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        try:
            return self.asked("/health")[0] == 200
        except OSError:
            return False

    def children(self) -> list[int]:
        return [each.pid for each in psutil.Process(self.process.pid).children(recursive=True)]


@contextmanager
def serving(*arguments: str, key: str = "", seconds: float = 60) -> Iterator[Command]:
    port = free_port()
    environment = {**os.environ, "LEXITRAIN_API_KEY": key}
    with subprocess.Popen(
        [sys.executable, "-m", "lexitrain", "serve", *arguments, "--port", str(port)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        command = Command(process, port)
        try:
            wait_until(command.is_up, seconds)
            yield command
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_end(nano_file: Path, how: signal.Signals) -> None:
    with serving(str(nano_file), "--threads", "1") as command:
        status, reply = command.asked("/v1/chat/completions", {"messages": ASKED, "max_tokens": 5})
        assert status == 200
        assert reply["model"] == "nano"
        children = command.children()
        assert len(children) == 1
        command.process.send_signal(how)
        out, said = command.process.communicate(timeout=20)
        assert out == b""
        assert b"answers at http://127.0.0.1" in said
        assert b"Traceback" not in said
        assert command.process.returncode == 130
        wait_until(lambda: not any(map(is_there, children)), 5)


@pytest.mark.slow
def test_killed_it_leaves_no_child(nano_file: Path) -> None:
    with serving(str(nano_file), "--threads", "1") as command:
        children = command.children()
        command.process.kill()
        wait_until(lambda: not any(map(is_there, children)), 10)


@pytest.mark.slow
def test_adapters_and_a_key(nano_file: Path, tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "peft", 1)
    first, other = write_adapter(tmp_path / "a.gguf", adapter), tmp_path / "b.gguf"
    shutil.copy(first, other)
    arguments = ["--adapter", f"exams={first}", "--adapter", str(other), "--host", "0.0.0.0"]
    with serving(str(nano_file), *arguments, key="s3cret") as command:
        assert command.asked("/v1/models")[0] == 401
        _, reply = command.asked("/v1/models", key="s3cret")
        assert [each["id"] for each in reply["data"]] == ["nano", "exams", "b"]
        asked = {"messages": ASKED, "model": "exams", "max_tokens": 5}
        assert command.asked("/v1/chat/completions", asked, "s3cret")[1]["model"] == "exams"


@pytest.mark.slow
def test_of_a_run_its_own_export_is_served(tmp_path: Path) -> None:
    """And not the base alone that lies beside it, nor an export that is older than the adapter."""
    run = run_on_nano(tmp_path / "runs" / "first")
    with serving(str(run), "--threads", "1", seconds=120) as command:
        assert (run / "export" / "first-Q8_0.gguf").is_file()
        assert command.asked("/v1/models")[1]["data"][0]["id"] == "first-Q8_0"
    (run / "export" / "first-Q8_0.gguf").rename(run / "export" / "nano-Q8_0.gguf")
    with serving(str(run), "--threads", "1", seconds=120) as command:
        assert command.asked("/v1/models")[1]["data"][0]["id"] == "first-Q8_0"
    file = run / "export" / "first-Q8_0.gguf"
    os.utime(file, (1, 1))
    with serving(str(run), "--threads", "1", seconds=120) as command:
        assert time.time() - file.stat().st_mtime < 600


def run_on_nano(folder: Path) -> Path:
    """A finished run whose adapter is at random."""
    from lexitrain.recipe.schema import DataSection, LoraSection, ModelSection, Recipe
    from lexitrain.runs.folder import Run

    folder.mkdir(parents=True)
    run = Run(folder)
    lora = LoraSection(rank=4)
    data = DataSection(max_length=256)
    run.write_recipe(Recipe(name="test", model=ModelSection(base="nano"), lora=lora, data=data))
    random_adapter(run.adapter, 5)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert lexitrain(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return " ".join(said.split())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "", "127.1"])
def test_beyond_this_machine_a_key_is_needed(
    nano_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.delenv("LEXITRAIN_API_KEY", raising=False)
    assert "no key is set" in refused(capsys, str(nano_file), "--host", host)


@pytest.mark.parametrize("key", ["a b", "clé", "a\nb", " ", "\udc80"])
def test_a_key_that_no_header_holds_is_refused(
    nano_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("LEXITRAIN_API_KEY", key)
    assert "no key can have" in refused(capsys, str(nano_file))


@pytest.mark.slow
def test_what_cannot_be_served_is_refused(
    nano_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = ["--port", str(free_port())]
    assert "no such file" in refused(capsys, str(tmp_path / "none.gguf"), *port)
    assert "neither a GGUF file nor a run" in refused(capsys, "nano", *port)
    assert "neither a GGUF file nor a run" in refused(capsys, str(tmp_path), *port)
    (tmp_path / "text.gguf").write_text("no model")
    assert "no GGUF file" in refused(capsys, str(tmp_path / "text.gguf"), *port)
    (tmp_path / "cut.gguf").write_bytes(nano_file.read_bytes()[:5000])
    assert "cut.gguf" in refused(capsys, str(tmp_path / "cut.gguf"), *port)
    for given, said in (
        (f"x={tmp_path}/none.gguf", "no such file"),
        (str(tmp_path / "text.gguf"), "no GGUF file"),
        (f"nano={nano_file}", "cannot be called 'nano'"),
        (f"={nano_file}", "no name"),
        (f"x={nano_file}", "cannot load"),
    ):
        assert said in refused(capsys, str(nano_file), "--adapter", given, *port)
    twice = ["--adapter", f"x={nano_file}"] * 2
    assert "Two adapters are called x" in refused(capsys, str(nano_file), *twice, *port)


def test_a_port_that_is_taken_is_refused(
    nano_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(capsys, str(nano_file), "--port", port)
    assert "cannot listen" in said
    assert port in said
