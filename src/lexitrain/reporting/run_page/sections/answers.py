"""Answers right and wrong, side by side: from `evaluation/*.answers.jsonl`.

The file holds answers and no score of each. An answer counts as right here where its first key, which decides in every
built-in task (`level`, `corrected`, ...), is the reference's; among the others the farthest from it are shown, invalid
ones first. Free text can be right in other words: where few are the reference's to the letter, the nearest to it and
the farthest are shown as such. This chooses examples; scores are the evaluation's.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.reporting.run_page.blocks import Answer, Answers, Block, Sentence
from lexitrain.reporting.run_page.plain_values import mapping, number, said_number, text, whole
from lexitrain.tasks import loads_strict

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import SavedEvaluation

_MOST_LINES = 5000
_LONGEST_LINE = 200_000  # bytes
_MOST_TASKS = 12
_EXAMPLES = 3
_COMPARED = 400  # letters
_FREE_TEXT = 0.5
"""Share of equal answers, below which texts of several words are not called right and wrong."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """An answer and how near it is to the reference: 1 the same, 0 nothing in common, -1 not valid."""

    line: dict[str, Any]
    key: str
    nearness: float


def answer_blocks(saved: SavedEvaluation) -> list[Block]:
    """For each task some right answers and some wrong ones."""
    if saved.answers is None:
        return [Sentence(f"{saved.name}: the file of answers is not there.", "lacking")]
    try:
        by_task, unread, more = _read(saved.answers)
    except OSError as error:
        return [Sentence(f"{saved.answers.name}: {error.strerror}.", "wrong")]
    blocks: list[Block] = [_task_answers(name, found) for name, found in by_task.items()]
    if unread:
        blocks.append(
            Sentence(
                f"{saved.answers.name}: {number_of(unread, 'line is not an answer', 'lines are not answers')}, and "
                "passed over.",
                "wrong",
            )
        )
    if more:
        blocks.append(
            Sentence(f"Examples are chosen among the first {_MOST_LINES:,} answers.", "lacking")
        )
    if not by_task:
        blocks.append(Sentence(f"{saved.answers.name} holds no answer.", "lacking"))
    return blocks


def _read(path: Path) -> tuple[dict[str, list[_Judged]], int, bool]:
    """Answers by task, lines that are none, and whether there are more."""
    by_task: dict[str, list[_Judged]] = {}
    unread = count = 0
    for raw in _lines(path):
        count += 1
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            unread += 1
            continue
        if not isinstance(line, dict) or not isinstance(line.get("task"), str):
            unread += 1
        elif "valid" in line and (line["task"] in by_task or len(by_task) < _MOST_TASKS):
            by_task.setdefault(line["task"], []).append(_judged(line))
    return by_task, unread, count == _MOST_LINES


def _lines(path: Path) -> Generator[bytes]:
    with path.open("rb") as file:
        for _ in range(_MOST_LINES):
            line = file.readline(_LONGEST_LINE)
            if not line:
                return
            if not line.endswith(b"\n") and len(line) == _LONGEST_LINE:
                while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
            yield line


def _judged(line: dict[str, Any]) -> _Judged:
    reference = mapping(line.get("reference"))
    key = next(iter(reference), "")
    if line.get("valid") is not True:
        return _Judged(line, key, -1.0)
    try:
        answer = mapping(loads_strict(str(line.get("text"))))
    except ValueError:
        return _Judged(line, key, -1.0)
    return _Judged(line, key, _nearness(answer.get(key), reference.get(key)))


def _nearness(answer: object, reference: object) -> float:
    """1 for the same, else below it: numbers by their distance, everything else by letters in common."""
    if answer == reference:
        return 1.0
    one, other = number(answer), number(reference)
    if one is not None and other is not None:
        return 0.999 / (1 + abs(one - other))
    texts = [text(each, _COMPARED) for each in (answer, reference)]
    return 0.999 * SequenceMatcher(None, *texts, autojunk=False).quick_ratio()


def _task_answers(task: str, found: list[_Judged]) -> Answers:
    name, key = text(task, 60), text(found[0].key, 60) or "answer"
    same = [each for each in found if each.nearness == 1]
    others = sorted((each for each in found if each.nearness < 1), key=lambda each: each.nearness)
    caption = (
        f"{name}: {len(same):,} of {number_of(len(found), 'answer')} "
        f"{'has' if len(found) == 1 else 'have'} the reference's {key}"
    )
    if len(same) < _FREE_TEXT * len(found) and _is_free_text(found):
        nearest = [each for each in reversed(others) if each.nearness >= 0][: len(others) // 2]
        headings = ("Nearest to the reference", "Farthest from it")
        farthest = others[: len(others) - len(nearest)]
        return Answers(caption, _shown([*same, *nearest]), _shown(farthest), headings)
    return Answers(caption, _shown(same), _shown(others))


def _is_free_text(found: list[_Judged]) -> bool:
    """Whether the references are texts of several words, most of them."""
    references = [mapping(each.line.get("reference")).get(each.key) for each in found]
    return sum(" " in text(each, _COMPARED).strip() for each in references) > len(found) / 2


def _shown(found: list[_Judged]) -> list[Answer]:
    """Some of them, each question once."""
    once = {text(each.line.get("input")): each for each in reversed(found)}
    first = [each for each in found if once[text(each.line.get("input"))] is each]
    return [_answer(each) for each in islice(first, _EXAMPLES)]


def _answer(each: _Judged) -> Answer:
    line = each.line
    row, loss = whole(line.get("row")), number(line.get("loss"))
    note = f"Not valid: {text(line.get('invalid'), 200)}" if each.nearness < 0 else ""
    return Answer(
        heading=f"row {'–' if row is None else row}, loss of the reference {said_number(loss)}",
        asked=text(line.get("input"), 600),
        right=_plain(line.get("reference")),
        said=_plain_answer(line.get("text")),
        note=note,
    )


def _plain(value: object) -> str:
    """An answer as `key: value` lines."""
    found = mapping(value)
    if not found:
        return text(value, 600)
    return "\n".join(f"{text(key, 60)}: {_value(each)}" for key, each in list(found.items())[:12])


def _value(value: object) -> str:
    return text(value, 500) if not isinstance(value, list) else _list(value)


def _list(values: list[Any]) -> str:
    shown = [
        " ".join(text(part, 60) for part in each.values())
        if isinstance(each, dict)
        else text(each, 60)
        for each in values[:10]
    ]
    return ", ".join(shown) if shown else "none"


def _plain_answer(said: object) -> str:
    try:
        found = mapping(loads_strict(str(said)))
    except ValueError:
        found = {}
    return _plain(found) if found else text(said, 600)
