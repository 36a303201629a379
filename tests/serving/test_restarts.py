"""llama.cpp is killed under the gateway: it is started again and answers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexitrain.serving import LlamaServer
from tests.serving.served import Served, is_there, nano_offer, wait_until

pytestmark = pytest.mark.slow

SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "minLength": 900}}}
LONG = {
    "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
    "temperature": 1,
    "max_tokens": 900,
}


@pytest.fixture
def served(nano_file: Path) -> Iterator[Served]:
    server = LlamaServer(nano_file, slots=2, context=1024, threads=1)
    with server, Served(server, nano_offer(nano_file)) as found:
        yield found
    assert not server.is_running


def kill(served: Served) -> int:
    pid = served.server.pid
    os.kill(pid, signal.SIGKILL)
    return pid


def back(served: Served, before: int) -> None:
    wait_until(lambda: served.server.pid not in {0, before} and served.chat(max_tokens=3)[0] == 200)
    assert not is_there(before)
    assert served.raw("", method="GET", path="/health")[0] == 200


def test_killed_between_requests(served: Served) -> None:
    before = served.answer(max_tokens=30)
    for _ in range(3):
        pid = kill(served)
        status, reply = served.chat(max_tokens=30)
        assert status in {200, 503}
        if status == 503:
            assert "ask again" in reply["error"]["message"]
        back(served, pid)
    assert served.answer(max_tokens=30) == before
    assert any("started again" in each for each in served.said)


def test_killed_in_the_middle_of_a_stream(served: Served) -> None:
    with served.opened(stream=True, **LONG) as client, client.makefile("rb") as lines:
        for line in lines:
            if b"data:" in line:
                break
        pid = kill(served)
        rest = lines.read()
    events = [each for each in rest.split(b"\n") if each.startswith(b"data: ")]
    assert b"[DONE]" not in rest, "a cut answer is no whole one"
    assert json.loads(events[-1][6:])["error"]["message"] == "llama.cpp has ended."
    back(served, pid)


def test_killed_in_the_middle_of_an_answer(served: Served) -> None:
    with served.opened(**LONG) as client:
        time.sleep(0.1)
        pid = kill(served)
        reply = client.recv(65536)
    assert reply.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in reply
    back(served, pid)


def test_a_file_that_is_gone_is_told_until_it_is_there_again(
    nano_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "here.gguf"
    os.link(nano_file, file)
    server = LlamaServer(file, slots=1, context=512, threads=1)
    with server, Served(server, nano_offer(file)) as served:
        file.rename(tmp_path / "away.gguf")
        pid = kill(served)
        wait_until(lambda: any("no such file" in each for each in served.said))
        assert served.chat(max_tokens=2)[0] == 503
        assert served.raw("", method="GET", path="/health")[0] == 503
        (tmp_path / "away.gguf").rename(file)
        back(served, pid)


def test_one_that_hangs_does_not_keep_the_gateway_from_ending(nano_file: Path) -> None:
    server = LlamaServer(nano_file, slots=1, context=1024, threads=1)
    with server, Served(server, nano_offer(nano_file)) as served:
        os.kill(server.pid, signal.SIGSTOP)
        pid = server.pid
        client = served.opened(max_tokens=5)
        time.sleep(0.1)
        client.close()
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert not is_there(pid)
