"""A model behind an OpenAI-compatible address, such as vLLM, the server of llama.cpp, or Ollama.

It is asked by messages: the server knows its own template, tokenizer and limits, so what it is shown is not the token
ids that training used, and it gives no loss. Questions go out eight at a time. The key for a server that wants one is
read from the environment (`LEXITRAIN_API_KEY`, else `OPENAI_API_KEY`) and never written anywhere.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from lexitrain.errors import ModelError
from lexitrain.evaluation.generation import Decoding, Said, answer_gbnf, schema_of

if TYPE_CHECKING:
    from lexitrain.evaluation.conversations.turns import Turn
    from lexitrain.evaluation.questions import Question
    from lexitrain.samples import Renderer, Sample
    from lexitrain.tasks import Task

_AT_ONCE = 8
_TIMEOUT_SECONDS = 600.0
_TRIES = 3
_FREE_TEXT_TOKENS = 512
_LARGEST_REPLY = 4_000_000  # bytes


def is_address(name: str) -> bool:
    """Whether a model is named by an address."""
    return name.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that a server answers for.

    Attributes:
        address: of the API, such as `http://localhost:8000/v1`.
        model: name by which the server knows it.
        key: that it wants; by default the environment's.
        llama_cpp: whether it is llama.cpp, which takes a task's grammar as it is.
        plain: makes a turn's text such that the server reads it as text alone.
    """

    address: str
    model: str
    key: str = field(default="", repr=False)
    llama_cpp: bool = False
    plain: Callable[[str], str] = str

    @property
    def name(self) -> str:
        """Address and model, without what a user may have written before an @."""
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}{parts.path}#{self.model}"


def remote_model(name: str) -> RemoteModel:
    """The model at an address; `address#model` where the server has several.

    Raises:
        ModelError: the server does not answer, or has several models and none was named.
    """
    address, _, model = name.partition("#")
    address = address.rstrip("/")
    if model:
        return RemoteModel(address, model)
    reply = _request(f"{address}/models", None)
    data: object = reply.get("data")
    known = [
        str(cast("dict[str, Any]", each)["id"])
        for each in cast("list[object]", data if isinstance(data, list) else [])
        if isinstance(each, dict) and "id" in each
    ]
    if len(known) != 1:
        listed = ", ".join(known) or "none"
        raise ModelError(
            f"The server has these models: {listed}.",
            where=RemoteModel(address, "").name.rstrip("#"),
            fix="Name one after a #, such as http://localhost:8000/v1#model.",
        )
    return RemoteModel(address, known[0])


class RemoteAnswerSource:
    """Asks a `RemoteModel`."""

    renderer: Renderer | None = None

    def __init__(self, remote: RemoteModel) -> None:
        self.together = 4 * _AT_ONCE
        self._remote = remote

    def select(self, task: Task) -> None:
        """Nothing: the server has one model for all tasks."""

    def answers(
        self,
        task: Task,
        questions: Sequence[Question | Turn],
        *,
        decoding: Decoding,
        maximum_tokens: int,
        progress: Callable[[int], None] | None,
    ) -> list[list[Said]]:
        free = maximum_tokens or (questions and questions[0].reference is None)
        most = max(task.maximum_answer_tokens, _FREE_TEXT_TOKENS if free else 0)

        def one(question: Question | Turn) -> list[Said]:
            said: list[Said] = []
            for sample in range(decoding.samples):
                said.append(self._answer(task, question, most, decoding, sample))
                if progress:
                    progress(1)
            return said

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(one, questions))

    def losses(self, sample: Sample) -> list[float] | None:  # noqa: ARG002
        return None

    def _answer(
        self,
        task: Task,
        question: Question | Turn,
        maximum_tokens: int,
        decoding: Decoding,
        sample: int,
    ) -> Said:
        shown = [
            {"role": turn["role"], "content": self._remote.plain(turn["content"])}
            for turn in task.prompt_messages(question.record)
        ]
        reply = _request(
            f"{self._remote.address}/chat/completions",
            {
                "model": self._remote.model,
                "messages": shown,
                "temperature": decoding.temperature,
                **({"seed": decoding.seed + sample} if decoding.sampled else {}),
                **(self._held_to(task) if decoding.json_schema else {}),
                "max_tokens": maximum_tokens,
                "stream": False,
            },
            self._remote.key,
        )
        try:
            choice = reply["choices"][0]
            content, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
        except (KeyError, IndexError, TypeError, AttributeError):
            raise ModelError(
                f"The server's reply holds no answer: {str(reply)[:200]}.", where=self._remote.name
            ) from None
        text = content if isinstance(content, str) else ""
        return Said(text, maximum_tokens if cut else None)

    def _held_to(self, task: Task) -> dict[str, Any]:
        """What a request says so that the answer is one of the task's."""
        if self._remote.llama_cpp:  # its own grammar of a schema knows no bounds of numbers
            return {"grammar": answer_gbnf(task)}
        return {"response_format": _response_format(task)}


def _response_format(task: Task) -> dict[str, Any]:
    """The task's schema as such servers take it; one that does not know it says so or answers freely, and then answers
    are judged as all others are."""
    schema = {"name": task.short, "strict": True, "schema": schema_of(task, bounded=False)}
    return {"type": "json_schema", "json_schema": schema}


def _request(address: str, body: dict[str, Any] | None, key: str = "") -> dict[str, Any]:
    """The JSON object that the server replies with; tried again where the connection breaks or the server is busy.

    Raises:
        ModelError: it does not answer, refuses, or replies with something else.
    """
    where = RemoteModel(address, "").name.rstrip("#")
    for tried in range(1, _TRIES + 1):
        try:
            return _once(address, body, key)
        except urllib.error.HTTPError as error:
            if error.code in (429, 502, 503) and tried < _TRIES:
                continue
            said = error.read(500).decode(errors="replace").strip()
            raise ModelError(
                f"The server refuses with {error.code}: {said or error.reason}.",
                where=where,
                fix="A key is read from LEXITRAIN_API_KEY." if error.code in (401, 403) else "",
            ) from None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and tried < _TRIES and body is not None:
                continue
            reason = getattr(error, "reason", error)
            raise ModelError(
                f"The server does not answer as an OpenAI-compatible one ({reason}).",
                where=where,
                fix="Give the address up to /v1, such as http://localhost:8000/v1, and start the server.",
            ) from None
    raise AssertionError


def _once(address: str, body: dict[str, Any] | None, key: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    found = key or os.environ.get("LEXITRAIN_API_KEY") or os.environ.get("OPENAI_API_KEY")
    if found:
        headers["Authorization"] = f"Bearer {found}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:
        content = reply.read(_LARGEST_REPLY)
    found: object = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return cast("dict[str, Any]", found)
