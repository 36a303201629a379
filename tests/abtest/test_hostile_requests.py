"""Requests that no page of ours sends: the service refuses them in its own form, writes nothing, and goes on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lexitrain.abtest.service.settings import RequestLimits
from lexitrain.abtest.service.start import _names
from tests.abtest.served import TOKEN, ScriptedEngine, ServedTest, wait_until

STRANGE = [
    b"",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"text": "a\\ud800b"}',
    b'{"text": "\\u0000"}',
    b'{"text": ""}',
    b'{"text": "  "}',
    '{"text": "\u200b\u200b"}'.encode(),
    b'{"text": 1}',
    b'{"text": ["a"]}',
    b'{"text": "a", "stream": "true"}',
    b'{"text": "a", "stream": 1}',
    b'{"text": "a", "more": 1}',
    b'{"text": "a", "task": "fluency"}',
    b'{"text": NaN}',
    b"[" * 30_000,
    b'{"text": ' + b"9" * 5000 + b"}",
    b'{"text": {"a": ' + b'{"a": ' * 500 + b"1" + b"}" * 501 + b"}",
    json.dumps({"text": "a" * 2001}).encode(),
    json.dumps({"text": "😀" * 2001}).encode(),
]


@pytest.mark.parametrize("body", STRANGE, ids=range(len(STRANGE)))
def test_a_strange_body_is_refused_in_the_services_form(served: ServedTest, body: bytes) -> None:
    learner = served.learner()
    status, headers, said = served.raw(
        "POST", "/v1/tutor/grammar", body, Authorization=f"Bearer {learner}"
    )
    assert status in {400, 413, 422}, said
    assert headers["content-type"] == "application/json"
    error = json.loads(said)["error"]
    assert error["code"]
    assert error["message"].isascii()
    assert served.states() == []
    assert served.a.asked + served.b.asked == 0


@pytest.mark.parametrize(
    "said",
    [
        {"helpful": "true"},
        {"helpful": 1},
        {"helpful": "yes"},
        {"stars": 0},
        {"stars": 6},
        {"stars": 4.5},
        {"stars": "4"},
        {"stars": True},
        {"corrected": ""},
        {"corrected": "a\0b"},
        {"corrected": "a" * 2001},
        {"revision": 0, "stars": 1},
        {"revision": 10**30, "stars": 1},
        {"stars": 1, "learner": "x"},
        {"stars": 1, "revision": 1.5},
        {},
    ],
    ids=str,
)
def test_a_rating_is_exactly_what_it_must_be(served: ServedTest, said: dict[str, Any]) -> None:
    learner = served.learner()
    exposure = served.ask(learner)["exposure"]
    status, _ = served.call("POST", "/v1/ratings", {"exposure": exposure, **said}, learner)
    assert status in {413, 422}
    assert served.rows("SELECT * FROM ratings") == []


INJECTIONS = [
    "'; DROP TABLE exposures; --",
    '" OR 1=1 --',
    "Robert'); DELETE FROM ratings;--",
    "%s %(x)s ? :a {number}",
    "<script>alert(1)</script>",
    "${7*7} {{7*7}}",
    "😀 👩‍👩‍👧 \u202e \ufeff e\u0301",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_texts_are_texts(tmp_path: Path, text: str) -> None:
    with ServedTest(tmp_path / "t.db", keep_texts=True) as served:
        learner = served.learner()
        exposure = served.ask(learner, text)["exposure"]
        rating = {"exposure": exposure, "corrected": text}
        assert served.call("POST", "/v1/ratings", rating, learner)[0] == 200
        assert served.rows("SELECT corrected FROM ratings") == [(text,)]
        assert served.call("GET", "/v1/learner", who=learner)[1]["requests"][0]["corrected"] == text
        for path in (
            f"/v1/tutor/{text[:3]}",
            "/v1/tutor/grammar'--",
            "/v1/tutor/%00",
            "/files/%00",
        ):
            quoted = path.replace(" ", "%20").encode("ascii", "ignore").decode()
            assert served.raw("POST", quoted, b'{"text": "a"}', Authorization=f"Bearer {learner}")[0] in {
                404, 405,
            }  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        '{"corrected":"\\ud800","errors":[]}',
        '{"corrected":"a\\u0000b","errors":[]}',
        '{"corrected":"ok","errors":[]}\x00',
        "\ud83d",
        '{"fluency_score":1e999,"reasoning":""}',
        "[" * 5000,
        "",
    ],
    ids=range(7),
)
@pytest.mark.parametrize("task", ["grammar", "fluency"])
def test_whatever_a_model_says_can_be_sent(tmp_path: Path, said: str, task: str) -> None:
    engines = [ScriptedEngine(each, said) for each in ("x", "y")]
    with ServedTest(tmp_path / "t.db", *engines, keep_texts=True) as served:
        learner = served.learner()
        served.ask(learner, task=task)
        body = b'{"text": "a", "stream": true}'
        status, _, events = served.raw(
            "POST", f"/v1/tutor/{task}", body, Authorization=f"Bearer {learner}"
        )
        assert status == 200
        assert b"event: answer" in events
        wait_until(lambda: "open" not in served.states())
        assert len(served.states()) == 2
        assert served.call("GET", "/v1/learner", who=learner)[0] == 200


# The connection


def sent(served: ServedTest, raw: bytes, *, wait: float = 20, replies: int = 1) -> bytes:
    """What comes back for bytes on a connection, until it is closed or nothing comes any more."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=wait) as connection:
        connection.sendall(raw)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
                closes = b"connection: close" in found.lower()
                if not closes and found.endswith(b"}") and found.count(b"HTTP/1.1 ") >= replies:
                    break
        except TimeoutError:
            pass
        return found


HEAD = b"POST /v1/tutor/grammar HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"Content-Length: 2000000\r\n\r\n", 413),
        (b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (b"Content-Length: -5\r\n\r\n", 400),
        (b"Content-Length: +5\r\n\r\nabcde", 400),
        (b"Content-Length: 5, 6\r\n\r\nabcde", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (b"Content-Length: abc\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked, identity\r\n\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"X: a\x00b\r\n\r\n", 400),
        (b"X : a\r\n\r\n", 400),
        (b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"X: a\r\n" * 20_000, 400),
        (b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", 422),
    ],
    ids=range(15),
)
def test_a_strange_head_is_refused(served: ServedTest, more: bytes, status: int) -> None:
    reply = sent(served, HEAD + more)
    first = reply.partition(b"\r\n\r\n")[2] if reply.startswith(b"HTTP/1.1 100") else reply
    assert first.startswith(b"HTTP/1.1 %d" % status), reply[:300]
    assert served.call("GET", "/health")[0] == 200


def test_a_body_in_chunks_without_end_is_cut_off(served: ServedTest) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        reply = b""
        try:
            for _ in range(1000):
                connection.sendall(b"1000\r\n" + b"a" * 4096 + b"\r\n")
        except OSError:
            pass
        try:
            reply = connection.recv(1000)
        except ConnectionResetError:
            return  # what it had said was lost with the connection
    assert reply.startswith(b"HTTP/1.1 413")


def test_a_slow_body_and_a_slow_head_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lexitrain.abtest.service import server

    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.5)
    limits = RequestLimits(learner=0, address=0, body_seconds=0.5)
    with ServedTest(tmp_path / "t.db", limits=limits) as served:
        assert sent(served, HEAD + b"Content-Length: 10\r\n\r\n{").startswith(b"HTTP/1.1 408")
        start = time.monotonic()
        for raw in (b"", b"POST /v1", HEAD):
            assert sent(served, raw) == b""
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while not connection.recv(4096).endswith(b"}"):
                pass
            connection.sendall(b"GET /he")  # a next one, that never ends
            assert connection.recv(4096) == b""
        assert time.monotonic() - start < 15
        assert served.call("GET", "/health")[0] == 200


def test_many_slow_connections_do_not_hold_up_the_others(served: ServedTest) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(200)]
    for each in slow:
        each.sendall(b"POST /v1/ratings HTTP/1.1\r\nHost: 127")
    try:
        assert served.ask(served.learner())["answer"]
    finally:
        for each in slow:
            each.close()


def test_requests_one_behind_the_other_are_each_answered(served: ServedTest) -> None:
    learner = served.learner()
    body = b'{"text": "Hi."}'
    one = (
        HEAD
        + f"Authorization: Bearer {learner}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    last = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    reply = sent(served, one * 3 + last, replies=4)
    assert reply.count(b"HTTP/1.1 200") == 4
    wait_until(lambda: served.states() == ["answered"] * 3)


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PUT", "TRACE", "PATCH", "BREW"])
def test_other_methods_are_refused(served: ServedTest, method: str) -> None:
    for path in ("/v1/tutor/grammar", "/v1/ratings", "/v1/team"):
        status, headers, _ = served.raw(method, path, Origin="https://elsewhere.example")
        assert status == 405
        assert not any(name.startswith("access-control") for name in headers)


def test_a_form_or_text_of_another_page_is_refused(served: ServedTest) -> None:
    """What a page elsewhere can send without being asked first: forms and plain text."""
    learner = served.learner()
    cookie = f"lexitrain_learner={learner}"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        status, _, _ = served.raw(
            "POST", "/v1/tutor/grammar", b'{"text": "a"}', Content_Type=kind, Cookie=cookie
        )
        assert status == 422, kind
    for site in ("cross-site", "same-site"):
        status, _, _ = served.raw(
            "POST", "/v1/tutor/grammar", b'{"text": "a"}', Cookie=cookie, Sec_Fetch_Site=site
        )
        assert status == 403
    assert served.states() == []
    status, _, _ = served.raw(
        "POST", "/v1/tutor/grammar", b'{"text": "a"}', Cookie=cookie, Sec_Fetch_Site="same-origin"
    )
    assert status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: ServedTest) -> None:
    _, consent = served.call("GET", "/v1/consent")
    body = json.dumps({"version": consent["version"], "agreed": True}).encode()
    _, headers, _ = served.raw("POST", "/v1/consent", body)
    said = headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "secure" not in said  # plain HTTP on this machine
    for agreed in ("true", 1, False, None):
        body = json.dumps({"version": consent["version"], "agreed": agreed}).encode()
        assert served.raw("POST", "/v1/consent", body)[0] == 422


@pytest.mark.parametrize(
    "path",
    [
        "/files/../../../../etc/passwd",
        "/files/..%2f..%2f..%2fetc%2fpasswd",
        "/files/%2e%2e/en.json",
        "/files/en.json",
        "/files/learner.html.jinja",
        "/files//etc/passwd",
        "/files/",
        "//evil.example/",
        "/team/../v1/team",
        "/docs",
        "/redoc",
    ],
)
def test_nothing_else_of_the_disk_is_served(served: ServedTest, path: str) -> None:
    assert sent(served, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(), wait=2)[
        :12
    ] in {
        b"HTTP/1.1 404",
        b"HTTP/1.1 401",
    }


def test_another_name_of_this_machine_is_refused(tmp_path: Path) -> None:
    names = frozenset({"localhost", "127.0.0.1", "ab.example.org"})
    with ServedTest(tmp_path / "t.db", names=names) as served:
        for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example"):
            assert served.raw("GET", "/health", Host=host)[0] == 421, host
        for host in ("localhost", "LOCALHOST:8090", "ab.example.org", "127.0.0.1:1"):
            assert served.raw("GET", "/health", Host=host)[0] == 200


def test_a_name_may_be_given_with_the_port_that_a_browser_shows(tmp_path: Path) -> None:
    """Behind a proxy at another port a browser asks for `ab.example.org:8443`."""
    names = _names("127.0.0.1", ["AB.example.org:8443", "[2001:db8::1]:8443", "2001:db8::2"])
    with ServedTest(tmp_path / "t.db", names=names) as served:
        for host in (
            "ab.example.org:8443", "ab.example.org", "ab.example.org.:8443", "[2001:db8::1]", "[2001:db8::2]:80",
            "[::1]:8090", "localhost:8090",
        ):  # fmt: skip
            assert served.raw("GET", "/health", Host=host)[0] == 200, host
        for host in ("example.org:8443", "[2001:db8::3]:8443", "ab.example.org:8443.evil.example"):
            assert served.raw("GET", "/health", Host=host)[0] == 421, host


def test_every_reply_has_the_headers_that_protect(served: ServedTest) -> None:
    learner = served.learner()
    replies = [
        served.raw("GET", "/"),
        served.raw("GET", "/team"),
        served.raw("GET", "/files/style.css"),
        served.raw("GET", "/v1/team"),
        served.raw("GET", "/nothing"),
        served.raw("POST", "/v1/tutor/grammar", b"x" * 70_000),
        served.raw(
            "POST", "/v1/tutor/grammar", b'{"text": "a"}', Authorization=f"Bearer {learner}"
        ),
    ]
    for _, headers, _ in replies:
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert not any(name.startswith("access-control") for name in headers)
        assert "server" not in headers
    assert all(b"<script>" not in body and b" style=" not in body for _, _, body in replies)
    assert all(b"onclick" not in body for _, _, body in replies)
    kept = [headers["cache-control"] for _, headers, _ in replies]
    assert kept.count("no-store") == len(replies) - 1


# How often


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[ServedTest]:
    limits = RequestLimits(learner=8, address=60)
    with ServedTest(tmp_path / "t.db", limits=limits) as found:
        yield found


def test_a_learner_who_asks_too_often_waits(limited: ServedTest) -> None:
    learner = limited.learner()
    said = [
        limited.raw(
            "POST", "/v1/tutor/grammar", b'{"text": "a"}', Authorization=f"Bearer {learner}"
        )
        for _ in range(6)
    ]
    assert [status for status, _, _ in said] == [200] * 4 + [429] * 2
    assert 1 <= int(said[-1][1]["retry-after"]) <= 10
    limited.ask(limited.learner())
    assert len(limited.states()) == 5


def test_an_address_that_asks_too_often_waits(limited: ServedTest) -> None:
    said = [limited.raw("GET", "/v1/consent")[0] for _ in range(40)]
    assert said[:30] == [200] * 30
    assert said[-1] == 429


@pytest.mark.parametrize("address", [6000, 0])
def test_the_teams_token_cannot_be_tried_out(tmp_path: Path, address: int) -> None:
    """Not even where an address may ask as often as it likes."""
    limits = RequestLimits(learner=0, address=address)
    with ServedTest(tmp_path / "t.db", limits=limits) as served:
        said = [served.call("GET", "/v1/team", who=f"guess-{n}")[0] for n in range(8)]
        assert said == [401] * 5 + [429] * 3
        assert served.call("GET", "/v1/team", who=TOKEN)[0] == 200


def test_the_address_of_a_client_is_not_what_it_says(limited: ServedTest) -> None:
    said = [limited.raw("GET", "/v1/consent", X_Forwarded_For=f"10.0.0.{n}")[0] for n in range(40)]
    assert said[-1] == 429


def test_a_clock_that_is_set_back_moves_nothing_before_the_test(
    served: ServedTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexitrain.abtest.log.observed import observed

    learner = served.learner()
    served.ask(learner)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    served.ask(learner)
    times = [each[0] for each in served.rows("SELECT at FROM exposures ORDER BY at")]
    assert times[0] <= times[1]
    monkeypatch.undo()
    wait_until(lambda: "open" not in served.states())
    assert len(observed(served.data).time) == 2
