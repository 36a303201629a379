"""A model behind an OpenAI-compatible address, served here by a small server over the taught model."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from lexitrain.errors import LexiTrainError, ModelError
from lexitrain.evaluation import Answerer, Decoding, evaluate
from lexitrain.evaluation.sources import api_requests
from tests.taught import RECORDS, save_records, taught_model
from tests.tiny import tiny_tokenizer

LOCK = threading.Lock()


class Server(ThreadingHTTPServer):
    """Answers with the taught model; `reply` replaces what it says, `models` what it has."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = ["taught"]
        self.reply: tuple[int, bytes] | None = None
        self.busy = 0
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.raw: bytes | None = None
        self.location: str | None = None
        self.hangs = threading.Event()
        self.hangs.set()
        self.hangs_seen = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("Authorization"))
        self._send(
            200, json.dumps({"data": [{"id": name} for name in self.server.models]}).encode()
        )

    def do_POST(self) -> None:
        self.server.hangs_seen += 1
        self.server.hangs.wait()
        if self.server.raw is not None:
            self.wfile.write(self.server.raw)
            return
        if self.server.location is not None:
            self.send_response(302)
            self.send_header("Location", self.server.location)
            self.end_headers()
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        with LOCK:
            if self.server.busy:
                self.server.busy -= 1
                self._send(503, b"busy")
                return
            self.server.seen.append(body)
            if self.server.reply is not None:
                self._send(*self.server.reply)
                return
            self._send(200, json.dumps(completion(body)).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def completion(body: dict[str, Any]) -> dict[str, Any]:
    tokenizer, model = tiny_tokenizer(), taught_model()
    ids = tokenizer.apply_chat_template(
        body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    with torch.inference_mode():
        found = model.generate(ids, max_new_tokens=body["max_tokens"], do_sample=False)
    text = tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


@pytest.fixture
def server() -> Iterator[Server]:
    taught_model()
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_records(tmp_path / "records.jsonl")


def test_a_served_model_is_scored_like_a_loaded_one(server: Server, data: Path) -> None:
    report = evaluate(server.address, data)
    assert report.model.name == f"{server.address}#taught"
    assert report.evaluation.validity == 1.0
    scores = report.evaluation.tasks["vocabulary"].scores
    assert scores["accuracy"].value == 1.0
    assert report.evaluation.tasks["vocabulary"].loss is None
    assert len(server.seen) == len(RECORDS)
    assert {(each["temperature"], each["model"]) for each in server.seen} == {(0, "taught")}
    assert report.to_json()["base"] is None


def test_conversations_are_asked_by_their_turns(server: Server, tmp_path: Path) -> None:
    turns = ("Hi", "Hello.", "He go?", "He goes.")
    messages = [
        {"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns)
    ]
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"task": "dialogue", "messages": messages}) + "\n")
    report = evaluate(server.address, path)
    found = report.evaluation.conversations["dialogue"]
    assert set(found.scores) == {"chrf", "exact_match"}
    assert [[turn["role"] for turn in each["messages"]] for each in server.seen] in (
        [["system", "user"], ["system", "user", "assistant", "user"]],
        [["system", "user", "assistant", "user"], ["system", "user"]],
    )
    json.dumps(report.to_json(), allow_nan=False)


def test_schema_and_draws_are_asked_of_the_server_and_cut_off_answers_told(
    server: Server, data: Path
) -> None:
    decoding = Decoding(temperature=0.7, samples=2, seed=5, json_schema=True)
    evaluate(server.address, data, task="vocabulary", decoding=decoding)
    assert sorted(each["seed"] for each in server.seen) == [5, 5, 6, 6]
    assert {each["temperature"] for each in server.seen} == {0.7}
    schema = server.seen[0]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["level", "key_words"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["key_words"]["items"] == {"type": "string"}
    cut = {"message": {"content": '{"level":"A1","key_words":[]}'}, "finish_reason": "length"}
    server.reply = 200, json.dumps({"choices": [cut]}).encode()
    found = evaluate(server.address, data, task="vocabulary").evaluation.tasks["vocabulary"]
    assert (found.truncated, found.validity.value) == (2, 0.0)
    assert "limit" in found.invalid[0].reason


@pytest.mark.slow
def test_a_server_that_is_busy_is_asked_again(server: Server, data: Path) -> None:
    server.busy = 2
    assert evaluate(server.address, data, limit=1).evaluation.validity == 1.0


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Server, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXITRAIN_API_KEY", "secret")
    address = server.address.replace("//", "//somebody:password@")
    report = evaluate(f"{server.address}#taught", data, limit=1)
    assert set(server.keys) == {"Bearer secret"}
    assert "secret" not in json.dumps(report.to_json())
    with pytest.raises(ModelError) as raised:
        evaluate(address.replace("http:", "https:"), data)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ((401, b"no key"), "401"),
        ((200, b"<html>"), "does not answer"),
        ((200, b"[]"), "does not answer"),
        ((200, b"{}"), "no answer"),
        ((200, b'{"choices": []}'), "no answer"),
        ((200, b"[" * 200_000), "nested too deeply"),
        ((200, b'{"choices": [{"message": {"content": 3}}]}'), "no answer"),
        (
            (200, b'{"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}'),
            "no answer",
        ),
        ((200, b'"' + b"x" * 4_100_000 + b'"'), "longer than"),
    ],
)
def test_what_is_no_answer_is_told(
    server: Server, data: Path, reply: tuple[int, bytes], told: str
) -> None:
    server.reply = reply
    with pytest.raises(LexiTrainError, match=told):
        evaluate(server.address, data)


def test_several_models_are_listed_and_none_is_guessed(server: Server, data: Path) -> None:
    server.models = ["a", "b"]
    with pytest.raises(ModelError, match="a, b"):
        evaluate(server.address, data)


def test_a_server_that_is_not_there_is_told(data: Path) -> None:
    with pytest.raises(ModelError, match="does not answer"):
        evaluate("http://127.0.0.1:9/v1", data)


def test_one_text_is_not_asked_over_an_address(server: Server) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        Answerer(server.address, "grammar")


@pytest.mark.parametrize(
    "raw",
    [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b""],
)
def test_what_is_no_http_is_told(
    server: Server, data: Path, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_requests, "_WAITS", (0.0,))
    server.raw = raw
    with pytest.raises(ModelError, match="does not answer"):
        evaluate(server.address, data)


def test_a_redirect_is_not_followed_and_the_key_stays(
    server: Server, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXITRAIN_API_KEY", "secret")
    with Server() as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        server.location = f"{other.address}/chat/completions?token=hidden"
        with pytest.raises(ModelError, match="redirects to") as raised:
            evaluate(server.address, data)
        other.shutdown()
    assert other.keys == []
    assert other.address in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(
    server: Server, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXITRAIN_API_KEY", "sk-first\r\nsk-second")
    with pytest.raises(ModelError, match="LEXITRAIN_API_KEY") as raised:
        evaluate(server.address, data)
    assert "sk-" not in str(raised.value)
    monkeypatch.setenv(
        "LEXITRAIN_API_KEY", "sk-first\r\n"
    )  # as a file with Windows' line ends gives it
    evaluate(server.address, data, limit=1)
    assert set(server.keys) == {"Bearer sk-first"}


def test_name_and_password_of_the_address_are_sent_and_a_query_stays_behind_the_path(
    server: Server, data: Path
) -> None:
    address = server.address.replace("//", "//some%40body:pass:word@")
    report = evaluate(f"{address}?version=1&code=hidden", data, limit=1)
    basic = base64.b64encode(b"some@body:pass:word").decode()
    assert set(server.keys) == {f"Basic {basic}"}
    assert report.model.name == f"{server.address}#taught"
    assert report.evaluation.validity == 1.0


@pytest.mark.parametrize(
    "address", ["http://", "http://host:port/v1", "http://me:secret@[::1/v1", "http://a b/v1"]
)
def test_what_is_no_address_is_told(data: Path, address: str) -> None:
    with pytest.raises(ModelError, match="no address") as raised:
        evaluate(address, data)
    assert "secret" not in str(raised.value)


def test_an_answer_in_parts_is_one_text(server: Server, data: Path) -> None:
    parts = [{"type": "text", "text": text} for text in ('{"level":"A1",', '"key_words":[]}')]
    server.reply = 200, json.dumps({"choices": [{"message": {"content": parts}}]}).encode()
    assert evaluate(server.address, data, task="vocabulary").evaluation.validity == 1.0


def test_a_server_that_hangs_does_not_hold_a_stopped_command(server: Server, data: Path) -> None:
    server.hangs.clear()
    command = [sys.executable, "-m", "lexitrain", "evaluate", server.address, "--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while server.hangs_seen == 0:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=20) != 0
        finally:
            process.kill()
            server.hangs.set()
