"""The process that a run, an adapter or a base answers in: `python -m lexitrain.abtest.engines.answering_process`.

Its settings come as one line of JSON on standard input, then a question a line; what it says goes line by line to
standard output. Questions that wait for the same task are answered together. It ends when its input does, also when the
service was killed.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from lexitrain.errors import LexiTrainError

if TYPE_CHECKING:
    from lexitrain.evaluation import Answerer


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        answerers = _answerers(settings)
    except LexiTrainError as error:
        _say(out, {"refused": error.what, "where": error.where, "fix": error.fix})
        return
    _say(out, {"ready": True})
    waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(waiting,), daemon=True).start()
    left: list[dict[str, Any]] = []
    while True:
        if not left:
            first = waiting.get()
            if first is None:
                return
            left.append(first)
        while not waiting.empty():
            question = waiting.get()
            if question is None:
                return
            left.append(question)
        gone = {each["cancel"] for each in left if "cancel" in each}
        left = [each for each in left if "cancel" not in each and each["id"] not in gone]
        if not left:
            continue
        task = left[0]["task"]
        together = [each for each in left if each["task"] == task][: settings["together"]]
        left = [each for each in left if each not in together]
        _answer(out, answerers[task], together)


def _answerers(settings: dict[str, Any]) -> dict[str, Answerer]:
    """The model, loaded once, for each task."""
    import torch

    from lexitrain.evaluation import Answerer, Decoding

    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    first, *others = settings["tasks"]
    answerer = Answerer(
        settings["model"],
        first,
        decoding=Decoding(json_schema=settings["json_schema"]),
        custom_tasks=settings["custom_tasks"],
    )
    return {first: answerer, **{task: answerer.for_task(task) for task in others}}


def _listen(waiting: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in sys.stdin:
        waiting.put(json.loads(line))
    waiting.put(None)


def _answer(out: Any, answerer: Answerer, together: list[dict[str, Any]]) -> None:
    try:
        said = answerer.answer([each["text"] for each in together])
    except Exception as error:  # one text may be what the others suffer from
        if len(together) > 1:
            for each in together:
                _answer(out, answerer, [each])
            return
        failure = f"{type(error).__name__}: {error}"
        _say(out, {"id": together[0]["id"], "failed": failure.partition("\n")[0][:300]})
        return
    for each, one in zip(together, said, strict=True):
        _say(out, {"id": each["id"], "text": one.text, "cut": one.truncated})


def _say(out: Any, content: dict[str, Any]) -> None:
    out.write(json.dumps(content) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
