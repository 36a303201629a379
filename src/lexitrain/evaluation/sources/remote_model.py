"""A model behind an OpenAI-compatible address, such as vLLM, the server of llama.cpp, or Ollama.

It is asked by messages: the server knows its own template, tokenizer and limits, so what it is shown is not the token
ids that training used, and it gives no loss. Questions go out eight at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from lexitrain.errors import ModelError
from lexitrain.evaluation.generation import Decoding, Said, answer_gbnf, schema_of
from lexitrain.evaluation.sources.api_requests import request, shown_address
from lexitrain.evaluation.sources.side_by_side import side_by_side

if TYPE_CHECKING:
    from lexitrain.evaluation.conversations.turns import Turn
    from lexitrain.evaluation.questions import Question
    from lexitrain.records import Record
    from lexitrain.samples import Renderer, Sample
    from lexitrain.tasks import Task

_AT_ONCE = 8
_FREE_TEXT_TOKENS = 512
_FROM_ALL_TOKENS = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}
"""llama.cpp draws from the likeliest tokens alone where it is not told otherwise, and a model here from all."""


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
        """Address and model, without what may be secret in the address."""
        return f"{shown_address(self.address)}#{self.model}"


def remote_model(name: str) -> RemoteModel:
    """The model at an address; `address#model` where the server has several.

    Raises:
        ModelError: the address is none, the server does not answer, or has several models and none was named.
    """
    address, _, model = name.partition("#")
    address = address.rstrip("/")
    where = shown_address(address)
    if model:
        return RemoteModel(address, model)
    reply = request(address, "/models", None)
    data: object = reply.get("data")
    ids = [
        cast("dict[str, Any]", each).get("id")
        for each in cast("list[object]", data if isinstance(data, list) else [])
        if isinstance(each, dict)
    ]
    known = [each for each in ids if isinstance(each, str) and each]
    if len(known) != 1:
        listed = ", ".join(known) or "none"
        raise ModelError(
            f"The server has these models: {listed}.",
            where=where,
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

        return side_by_side(one, questions, at_once=_AT_ONCE)

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
        body = chat_body(self._remote, task, question.record, decoding, maximum_tokens, sample)
        reply = request(self._remote.address, "/chat/completions", body, self._remote.key)
        text, cut = said_in(reply, self._remote)
        return Said(text, maximum_tokens if cut else None)


def chat_body(
    remote: RemoteModel,
    task: Task,
    record: Record,
    decoding: Decoding,
    maximum_tokens: int,
    sample: int = 0,
) -> dict[str, Any]:
    """What `/chat/completions` is asked, so that a model answers a record as it is evaluated.

    Args:
        maximum_tokens: most of an answer.
        sample: number from 0 of the answer, among several to the same record.
    """
    shown = [
        {"role": turn["role"], "content": remote.plain(turn["content"])}
        for turn in task.prompt_messages(record)
    ]
    return {
        "model": remote.model,
        "messages": shown,
        "temperature": decoding.temperature,
        **({"seed": decoding.seed + sample} if decoding.sampled else {}),
        **(_FROM_ALL_TOKENS if remote.llama_cpp else {}),
        **(_held_to(remote, task) if decoding.json_schema else {}),
        "max_tokens": maximum_tokens,
        "stream": False,
    }


def _held_to(remote: RemoteModel, task: Task) -> dict[str, Any]:
    """What a request says so that the answer is one of the task's."""
    if remote.llama_cpp:  # its own grammar of a schema knows no bounds of numbers
        return {"grammar": answer_gbnf(task)}
    return {"response_format": _response_format(task)}


def said_in(reply: dict[str, Any], remote: RemoteModel) -> tuple[str, bool]:
    """What the model said, and whether it was cut off.

    Raises:
        ModelError: the reply holds no answer of the model: to score it as a wrong one would blame the model.
    """
    try:
        choice = reply["choices"][0]
        content, ended = choice["message"]["content"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        content, ended = False, None
    text = _text(content)
    if text is None or ended == "error":
        raise ModelError(
            f"The server's reply holds no answer: {str(reply)[:200]}.", where=remote.name
        )
    return text, ended == "length"


def _text(content: object) -> str | None:
    """The text of a message's content: text, parts of text, or null where a model said nothing; else None."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    parts = [
        cast("dict[str, Any]", part)
        for part in cast("list[object]", content)
        if isinstance(part, dict)
    ]
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    if not texts or not all(isinstance(text, str) for text in texts):
        return None
    return "".join(map(str, texts))


def _response_format(task: Task) -> dict[str, Any]:
    """The task's schema as such servers take it; one that does not know it says so or answers freely, and then answers
    are judged as all others are."""
    schema = {"name": task.short, "strict": True, "schema": schema_of(task, bounded=False)}
    return {"type": "json_schema", "json_schema": schema}
