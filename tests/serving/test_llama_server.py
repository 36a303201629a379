"""llama.cpp as a process of its own: what it is started with, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from lexitrain.errors import ModelError
from lexitrain.serving import LlamaServer, completion, file_facts, is_gguf_file
from tests.serving.served import is_there, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def started(file: Path, **settings: object) -> LlamaServer:
    return LlamaServer(file, slots=1, context=256, threads=1, **settings)  # pyright: ignore


def answers(server: LlamaServer) -> bool:
    return len(completion(server, [5, 6], most_tokens=3).tokens) > 0


def test_it_answers_and_ends(nano_file: Path) -> None:
    server = started(nano_file)
    assert (server.pid, server.is_running, server.address) == (0, False, "")
    with server:
        pid = server.pid
        assert server.is_ready
        assert server.address.startswith("http://127.0.0.1:")
        assert answers(server)
        assert server.memory_bytes() > 1_000_000
        assert 0 < server.seconds_to_load < 60
    assert not is_there(pid)
    assert (server.pid, server.is_running, server.address) == (0, False, "")
    server.stop()
    server.stop()
    with server:  # and again
        assert answers(server)
        server.start()  # one that runs is ended first
        assert answers(server)
        again = server.pid
    assert not is_there(again)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a file.gguf", "tệp đúng.gguf", "100%s %20#?.gguf", "-f.gguf", "q\"'.gguf"]
)
def test_files_of_any_name_load(nano_file: Path, tmp_path: Path, name: str) -> None:
    os.link(nano_file, tmp_path / name)
    with started(tmp_path / name) as server:
        assert answers(server)


@pytest.mark.slow
def test_a_name_in_this_folder_loads(
    nano_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(nano_file, tmp_path / "here.gguf")
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with started(Path("here.gguf")) as server:
        assert answers(server)


def damaged(nano_file: Path, how: str, path: Path) -> Path:
    content = bytearray(nano_file.read_bytes())
    if how == "cut in its tensors":
        content = content[: len(content) // 2]
    elif how == "cut in its head":
        content = content[:3000]
    elif how == "magic alone":
        content = content[:4]
    elif how == "version":
        content[4:8] = (99).to_bytes(4, "little")
    elif how == "count of tensors":
        content[8:16] = (2**62).to_bytes(8, "little")
    elif how == "head":
        content[24:2000] = b"\xff" * 1976
    path.write_bytes(content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    ["cut in its tensors", "cut in its head", "magic alone", "version", "count of tensors", "head"],
)
def test_a_damaged_file_is_refused(nano_file: Path, tmp_path: Path, how: str) -> None:
    file = damaged(nano_file, how, tmp_path / "damaged.gguf")
    server = started(file)
    with pytest.raises(ModelError, match="cannot load this file") as error, server:
        pass
    assert "damaged.gguf" in str(error.value)
    assert not server.is_running
    with pytest.raises(ModelError, match=r"cannot be read as GGUF"):
        file_facts(file)


@pytest.mark.parametrize("content", [None, b"", b"GGU", b"GGML....", b"\x80\x02}q"])
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    assert not is_gguf_file(file)
    said = "no such file" if content is None else "no GGUF file"
    with pytest.raises(ModelError, match=said):
        started(file).start()
    assert not is_gguf_file(tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        started(tmp_path).start()


def test_an_adapter_that_is_none_is_named(nano_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file") as error:
        started(nano_file, adapters=[tmp_path / "a.gguf"]).start()
    assert "a.gguf" in str(error.value)
    with pytest.raises(ModelError, match=r"(?s)cannot load this file.*adapters"):
        started(nano_file, adapters=[nano_file]).start()


@pytest.mark.slow
def test_a_port_that_is_taken_is_an_error(nano_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = started(nano_file, port=taken.getsockname()[1])
        with pytest.raises(ModelError):
            server.start()
        assert not server.is_running


@pytest.mark.slow
def test_a_context_beyond_all_memory_is_an_error(nano_file: Path) -> None:
    server = LlamaServer(nano_file, slots=64, context=2**30, threads=1)
    with pytest.raises(ModelError):
        server.start()
    assert not server.is_running


@pytest.mark.slow
def test_two_run_at_once(nano_file: Path) -> None:
    with started(nano_file) as one, started(nano_file) as other:
        assert one.address != other.address
        assert one.key != other.key
        pid = one.pid
        one.stop()
        assert not is_there(pid)
        assert answers(other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_asked(
    nano_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with started(nano_file) as server:
        assert answers(server)


def test_the_key_is_needed(nano_file: Path) -> None:
    with started(nano_file) as server:
        for key in ("", "Bearer wrong", f"Bearer {server.key[:-1]}"):
            for path in ("/completion", "/v1/chat/completions", "/tokenize", "/v1/completions"):
                request = urllib.request.Request(
                    server.address + path, b"{}", {"Authorization": key}
                )
                with pytest.raises(urllib.error.HTTPError) as error:
                    urllib.request.urlopen(request)
                assert error.value.code == 401
                error.value.close()
        command = psutil.Process(server.pid).cmdline()
        assert server.key not in " ".join(command)


@pytest.mark.slow
@linux
def test_it_listens_on_this_machine_alone(nano_file: Path) -> None:
    with started(nano_file) as server:
        found = psutil.Process(server.pid).net_connections()
        listening = [each.laddr for each in found if each.status == psutil.CONN_LISTEN]
        assert [each.ip for each in listening] == ["127.0.0.1"]
        assert server.address.endswith(f":{listening[0].port}")


def long_answer(server: LlamaServer) -> list[BaseException | str]:
    """What comes of an answer that takes long, while something else happens."""
    found: list[BaseException | str] = []
    grammar = "root ::= [a-z]{1900}"

    def ask() -> None:
        try:
            found.append(completion(server, [5], most_tokens=1900, grammar=grammar).text)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    os.kill(server.pid, signal.SIGKILL)
    thread.join(30)
    assert not thread.is_alive()
    return found


@pytest.mark.slow
def test_one_that_is_killed_says_so(nano_file: Path) -> None:
    with LlamaServer(nano_file, slots=1, context=2048, threads=1) as server:
        (found,) = long_answer(server)
        assert isinstance(found, ModelError)
        wait_until(lambda: not server.is_running)
        with pytest.raises(ModelError, match="has ended"):
            server.ask("/tokenize", {"content": "a"})
        server.start()
        assert answers(server)


_PARENT = """
import sys, json, time
from lexitrain.serving import LlamaServer, completion
server = LlamaServer(sys.argv[1], slots=1, context=2048, threads=1)
server.start()
print(json.dumps([server.pid, server.address]), flush=True)
if sys.argv[2] == "busy":
    completion(server, [5], most_tokens=1900, grammar="root ::= [a-z]{1900}")
if sys.argv[2] == "fails":
    raise RuntimeError("on purpose")
time.sleep(60)
"""


@pytest.mark.slow
@linux
@pytest.mark.parametrize("how", ["idle", "busy", "fails"])
def test_it_ends_with_the_process_that_started_it(nano_file: Path, how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(nano_file), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    with parent:
        child, _ = json.loads(parent.stdout.readline())
        time.sleep(0.2)
        if how != "fails":
            parent.kill()
        parent.wait(20)
    wait_until(lambda: not is_there(child), 10)


@pytest.mark.slow
def test_ctrl_c_while_it_loads_leaves_nothing(
    nano_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = started(nano_file)
    pids: list[int] = []

    def interrupted(*_: object) -> None:
        pids.append(server.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr("lexitrain.serving.llama_server.json.loads", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert pids
    assert not is_there(pids[0])


@pytest.mark.slow
def test_facts_of_a_file(nano_file: Path, tmp_path: Path) -> None:
    facts = file_facts(nano_file)
    assert {"<|im_end|>", "<|im_start|>", "<|endoftext|>"} <= set(facts.specials)
    assert facts.context > 1000
    assert (facts.tasks, facts.system, facts.max_length) == ((), None, 0)
    assert facts.tensors["token_embd.weight"] == "F32"
    with pytest.raises(ModelError):
        file_facts(tmp_path / "none.gguf")
    shutil.copy(nano_file, tmp_path / "copy.gguf")
    assert file_facts(tmp_path / "copy.gguf") == facts
