"""A client's chat request, checked, as llama.cpp is asked.

What is understood is passed on, all else is refused by its name: a setting that is ignored would change answers without
a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from lexitrain.errors import TaskError

if TYPE_CHECKING:
    from lexitrain.serving.offer import Offer

_ROLES = ("system", "user", "assistant")
_MOST_TURNS = 200
_MOST_TOKENS = 4096


class BadRequest(ValueError):
    """A request that cannot be answered; the message is for the client."""


def chat_request(content: bytes, offer: Offer) -> dict[str, Any]:
    """What llama.cpp is asked; `model` is the name by which the answer calls the model.

    Args:
        content: the client's JSON. `task` names a task: its grammar then holds the answer.
            A conversation without a system turn gets that of training.
        offer: what it may ask for.

    Raises:
        BadRequest: it is no such request.
    """
    try:
        read: object = json.loads(content)
    except (ValueError, RecursionError):
        raise BadRequest("The body is no JSON.") from None
    if not isinstance(read, dict):
        raise BadRequest("The body is no JSON object.")
    body = cast("dict[str, Any]", read)
    for name in body:
        if name not in _KNOWN and name not in _WITHOUT_EFFECT and body[name] is not None:
            raise BadRequest(f"{_shown(name)} is not understood here.")
    held = _format(body, offer)
    found: dict[str, Any] = {
        "messages": _with_system(_messages(body.get("messages"), offer), body.get("task"), offer),
        "temperature": 0,
        "stream": False,
        "max_tokens": 512,
        **_FROM_ALL_TOKENS,
    }
    for name, check in _CHECKS.items():
        if body.get(name) is not None:
            found[_RENAMED.get(name, name)] = check(name, body[name])
    return {**found, **held, **_adapter(body.get("model"), offer)}


def _with_system(turns: list[dict[str, str]], task: object, offer: Offer) -> list[dict[str, str]]:
    """The turns behind the system turn of training, where they have none of their own."""
    system = offer.systems.get(task if isinstance(task, str) else "")
    if system is None or turns[0]["role"] == "system":
        return turns
    return [{"role": "system", "content": system}, *turns]


def _messages(given: object, offer: Offer) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages must be a list of turns.")
    turns = cast("list[object]", given)
    if len(turns) > _MOST_TURNS:
        raise BadRequest(f"messages has {_MOST_TURNS} turns at most.")
    found: list[dict[str, str]] = []
    for number, turn in enumerate(turns):
        fields = cast("dict[str, Any]", turn) if isinstance(turn, dict) else {}
        role, text = fields.get("role"), _text(fields.get("content"))
        if not isinstance(role, str) or role not in _ROLES or text is None:
            raise BadRequest(
                f"messages[{number}] needs a role ({', '.join(_ROLES)}) and a text as content."
            )
        for name, value in fields.items():
            if name not in {"role", "content"} and value not in (None, [], ""):
                raise BadRequest(f"messages[{number}]: {_shown(name)} is not understood here.")
        found.append({"role": str(role), "content": offer.plain(text)})
    if found[-1]["role"] == "assistant":
        raise BadRequest("The last turn is the assistant's: there is nothing to answer.")
    return found


def _text(content: object) -> str | None:
    """A turn's text, also where it comes in parts; None where it is none."""
    if isinstance(content, list):
        texts: list[Any] = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
            for part in cast("list[Any]", content)
        ]
        content = "".join(texts) if all(isinstance(each, str) for each in texts) else None
    return content if isinstance(content, str) and _is_unicode(content) else None


def _is_unicode(text: str) -> bool:
    """Whether it is text: JSON can spell half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    """A client's word in a message: one line, not too long, and text."""
    return ascii(name[:80])


def _number(low: float, high: float) -> Callable[[str, object], float]:
    def check(name: str, value: object) -> float:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        number = cast("float", value)
        if not known or not low <= number <= high:  # neither holds of NaN
            raise BadRequest(f"{name} must be a number from {low:g} to {high:g}.")
        return number

    return check


def _whole(low: int, high: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise BadRequest(f"{name} must be a whole number from {low} to {high}.")
        return value

    return check


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.")
    return value


def _stop(name: str, value: object) -> list[str]:
    texts = cast("list[object]", [value] if isinstance(value, str) else value)
    if (
        not isinstance(texts, list)
        or len(texts) > 4
        or not all(isinstance(t, str) and t and _is_unicode(t) for t in texts)
    ):
        raise BadRequest(f"{name} must be a text, or four at most.")
    return cast("list[str]", texts)


def _stream_options(name: str, value: object) -> dict[str, bool]:
    options = cast("dict[str, Any]", value) if isinstance(value, dict) else {"": None}
    if not options.keys() <= {"include_usage"}:
        raise BadRequest(f"{name} is an object with include_usage alone.")
    return {"include_usage": _truth(f"{name}.include_usage", options.get("include_usage", False))}


def _format(body: dict[str, Any], offer: Offer) -> dict[str, Any]:
    """What holds the answer: the grammar of a task, or a schema of the client's."""
    task, wanted = body.get("task"), body.get("response_format")
    if task is not None:
        if wanted is not None:
            raise BadRequest("task and response_format both say what the answer is; give one.")
        if not isinstance(task, str) or task not in offer.grammars:
            raise BadRequest(f"There is no such task; there are {', '.join(offer.grammars)}.")
        return {"grammar": offer.grammars[task]}
    if wanted is None:
        return {}
    asked = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {}
    kind: object = asked.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema: object = asked.get("json_schema") if kind == "json_schema" else None
    if not isinstance(schema, dict) or "schema" not in schema:
        raise BadRequest(
            "response_format is of the type text, json_object or json_schema, with a schema in json_schema.schema."
        )
    try:
        # llama.cpp's own grammar of a schema knows no bounds of numbers, and drops what it does not know.
        return {"grammar": offer.held_to(cast("dict[str, Any]", schema)["schema"])}
    except TaskError as error:
        raise BadRequest(f"response_format: {error}") from None


def _adapter(model: object, offer: Offer) -> dict[str, Any]:
    """Which adapter answers, and how the answer calls it. What one has computed of a prompt is not what another one
    computes: nothing is kept."""
    if model is None or model == offer.model:
        chosen = None
    elif isinstance(model, str) and model in offer.adapters:
        chosen = offer.adapters.index(model)
    else:
        names = ", ".join([offer.model, *offer.adapters])
        raise BadRequest(f"There is no model of this name; there are {names}.")
    name = offer.model if chosen is None else offer.adapters[chosen]
    if not offer.adapters:
        return {"model": name}
    scales = [
        {"id": number, "scale": 1.0 if number == chosen else 0.0}
        for number in range(len(offer.adapters))
    ]
    return {"model": name, "lora": scales, "cache_prompt": False}


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "max_tokens": _whole(1, _MOST_TOKENS),
    "max_completion_tokens": _whole(1, _MOST_TOKENS),
    "seed": _whole(0, 2**32 - 1),
    "stream": _truth,
    "stop": _stop,
    "stream_options": _stream_options,
    "n": _whole(1, 1),
}
_FROM_ALL_TOKENS = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}
"""llama.cpp draws from the likeliest tokens alone where it is not told otherwise."""
_RENAMED = {"max_completion_tokens": "max_tokens"}
_KNOWN = {*_CHECKS, "messages", "model", "task", "response_format"}
_WITHOUT_EFFECT = {"user", "store", "metadata"}
"""Understood by OpenAI, and without an effect on an answer."""
