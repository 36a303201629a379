"""Requests of all kinds that are none: none is answered with a fault of the server's, and the next one is answered."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from typing import Any

import pytest

from tests.serving.served import ASKED, Served, wait_until

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 3.5, 1e308, -0.0, 2**31, 2**63, 2**64, -(2**70), 10**400, "", "a", "null",
    "\ud800", "\udfff\ud800", "\x00", "<|im_end|>", "x" * 5000, "đ" * 300, [], [[]], {}, {"a": 1}, [None], ["a", 1],
    ["\ud800"], [""] * 5, {"type": "json_schema"}, {"type": "text"}, {"type": "json_object", "schema": {}},
    {"type": "json_schema", "json_schema": {"schema": True}}, {"type": ["text"]}, {"include_usage": "yes"},
    {"type": "json_schema", "json_schema": {"schema": {"type": "string", "pattern": "(a+)+$"}}},
    {"type": "json_schema", "json_schema": {"schema": {"type": "array", "items": {}}}},
    {"type": "json_schema", "json_schema": {"schema": {"type": "string", "minLength": 10**9}}},
    {"type": "json_schema", "json_schema": {"schema": {"type": "number", "minimum": "\ud800"}}},
    {"role": "user"},
    [{"role": "user", "content": None}], [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": "\ud800"}], [{"role": ["user"], "content": "a"}], [{"role": "tool", "content": "a"}],
    [{"role": "assistant", "content": "a"}], [{"content": "a"}], ["user"],
    [{"role": "user", "content": "a", "name": 3}],
    [{"role": "user", "content": "a"}] * 300, {"role": {"role": {}}}, "grammar", "\u202e", "../../etc/passwd",
]  # fmt: skip
NAMES = [
    "messages", "model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "stream", "n",
    "task", "response_format", "stream_options", "frequency_penalty", "presence_penalty", "user", "store", "metadata",
    "tools", "tool_choice", "functions", "logprobs", "logit_bias", "grammar", "json_schema", "lora", "cache_prompt",
    "id_slot", "n_predict", "samplers", "prompt", "chat_template_kwargs", "", "\ud800", "__proto__", "a" * 10_000,
]  # fmt: skip


def request_of(chance: random.Random) -> bytes:
    """A chat request in which something is wrong, or all."""
    kind = chance.randrange(8)
    if kind == 0:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
    body: Any = {"messages": ASKED, "max_tokens": 3}
    for _ in range(chance.randrange(1, 4)):
        body[chance.choice(NAMES)] = chance.choice(VALUES)
    if kind == 1:
        body = chance.choice(VALUES)
    text = json.dumps(body)
    if kind == 2:
        text = text[: chance.randrange(len(text))]
    if kind == 3:
        text = text.replace(
            "3", chance.choice(["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
        )
    data = text.encode(chance.choice(["utf-8", "utf-16", "utf-32", "utf-8-sig"]))
    if kind == 4 and data:
        broken = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        data = bytes(broken)
    if kind == 5:
        data = json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")
    return data


def still_answers(served: Served) -> None:
    assert served.answer(max_tokens=20) == served.answer(max_tokens=20)


def flood(served: Served, count: int, seed: int) -> dict[int, int]:
    """Statuses of the replies to so many requests."""
    chance = random.Random(seed)
    found: dict[int, int] = {}
    pid = served.server.pid
    for _ in range(count):
        body = request_of(chance)
        status, reply = served.raw(body)
        assert status in {200, 400}, (status, body[:500], reply)
        if status == 400:
            assert reply["error"]["message"], body
        found[status] = found.get(status, 0) + 1
    assert served.server.pid == pid, "llama.cpp has ended"
    return found


def test_200_malformed_requests(served: Served) -> None:
    assert flood(served, 200, 1)[400] > 120
    still_answers(served)


@pytest.mark.slow
def test_2000_malformed_requests(served: Served) -> None:
    assert flood(served, 2000, 2)[400] > 1200
    still_answers(served)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_setting_takes_no_value_of_another_kind(served: Served, name: str) -> None:
    for value in VALUES:
        if (name, value) == ("stream", True):
            continue
        body = json.dumps({"messages": ASKED, "max_tokens": 2, name: value})
        status, reply = served.raw(body)
        assert status in {200, 400}, (body[:300], reply)
        if status == 200 and name not in {"user", "store", "metadata"}:
            assert value is None or _means_something(name, value), (name, value)
    status, reply = served.chat(**{"frobnicate": 1})
    assert status == 400
    assert "'frobnicate'" in reply["error"]["message"]


def _means_something(name: str, value: Any) -> bool:
    """Whether a value of `VALUES` is one that the setting may have."""
    if isinstance(value, bool):
        return (name, value) == ("stream", False)
    if isinstance(value, int | float):
        return name in {
            "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "n",
            "frequency_penalty", "presence_penalty",
        }  # fmt: skip
    if name == "messages":
        return False
    if isinstance(value, str) or value in ([], ["user"]):
        return name == "stop" or (name, value) == ("task", "grammar")
    return (name, value) in (
        ("response_format", {"type": "text"}),
        ("response_format", {"type": "json_object", "schema": {}}),
        ("stream_options", {}),
    )


@pytest.mark.parametrize("depth", [900, 100_000])
@pytest.mark.parametrize("where", ["", "response_format", "messages", "metadata", "schema"])
def test_what_is_nested_deeply_is_refused(served: Served, depth: int, where: str) -> None:
    inner = "[" * depth + "]" * depth
    if where == "schema":
        inner = '{"type":"array","items":' * depth + "{}" + "}" * depth
        inner = f'{{"type":"json_schema","json_schema":{{"schema":{inner}}}}}'
    named = {"": inner}.get(
        where, f'{{"messages":{json.dumps(ASKED)},"max_tokens":2,"{where}":{inner}}}'
    )
    if where == "schema":
        named = named.replace(
            '"schema":{"type":"json_schema"', '"response_format":{"type":"json_schema"', 1
        )
    status, _ = served.raw(named)
    assert status == (200 if where == "metadata" and depth == 900 else 400)
    still_answers(served)


@pytest.mark.slow
def test_a_body_of_10_mb_is_refused(served: Served) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "a" * 10_000_000}]})
    try:
        status, reply = served.raw(body)
    except (BrokenPipeError, ConnectionResetError):  # it was closed before all was sent
        pass
    else:
        assert status == 400
        assert "1,000,000 bytes" in reply["error"]["message"]
    still_answers(served)


@pytest.mark.parametrize(
    "method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "FOO", "TRACE"]
)
def test_other_ways_to_ask_are_refused(served: Served, method: str) -> None:
    status, _ = served.raw("{}", method=method)
    assert status == 405
    still_answers(served)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/chat/completions/", "/v1/completions", "/completion", "/props", "/slots", "/lora-adapters",
        "/v1/chat/completions%2f", "//v1/chat/completions", "/../etc/passwd", "/%00", "/%ff%fe", "/" + "a" * 20_000,
        "/v1/models?x=%ff", "/metrics", "/docs",
    ],
)  # fmt: skip
@pytest.mark.parametrize("host", [None, "[", "a b", "\xff", "x:99999999", ""])
def test_other_places_are_not_there(served: Served, path: str, host: str | None) -> None:
    headers = {} if host is None else {"Host": host}
    status, _ = served.raw("{}", path=path, **headers)
    assert status in {400, 404, 405, 414, 431}


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data", "", "application/xml; charset=utf-99"]
)
def test_the_content_says_what_it_is(served: Served, kind: str) -> None:
    assert (
        served.raw(json.dumps({"messages": ASKED, "max_tokens": 2}), **{"Content-Type": kind})[0]
        == 200
    )
    assert served.raw("a=b", **{"Content-Type": kind})[0] == 400


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-key\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x00" * 5000, b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"Content-Length: 999999999999\r\n\r\n{", HEAD + b"Transfer-Encoding: gzip\r\n\r\nab",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", HEAD + b"X: " + b"a" * 200_000,
        HEAD + b"".join(b"X%d: a\r\n" % n for n in range(5000)) + b"\r\n", HEAD + b"Bad Header\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        HEAD.replace(b"\r\n", b"\n") + b"\n", HEAD + b"A: \xff\xfe\x00\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_harms_nothing(served: Served, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        try:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            reply = client.recv(65536)
        except OSError:  # it was closed before all was sent
            reply = b""
    assert b" 500 " not in reply.partition(b"\r\n")[0]
    still_answers(served)


@pytest.mark.slow
def test_connections_that_say_nothing_keep_nobody_out(served: Served) -> None:
    waiting = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]
    for number, client in enumerate(waiting):
        if number % 2:
            client.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
    still_answers(served)
    for client in waiting:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
        client.close()
    still_answers(served)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_ends_its_answer(served: Served, stream: bool) -> None:
    """All four places at llama.cpp would be taken by answers that nobody waits for."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 900}}}
    held = {"type": "json_schema", "json_schema": {"schema": schema}}
    clients = [
        served.opened(stream=stream, response_format=held, max_tokens=900) for _ in range(80)
    ]
    time.sleep(0.3)
    for client in clients:
        client.close()
    began = time.monotonic()
    wait_until(lambda: served.chat(max_tokens=1)[0] == 200)
    assert time.monotonic() - began < 3
