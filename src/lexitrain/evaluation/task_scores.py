"""The scores of one task: values with intervals, the trivial predictor's beside them, and why answers were invalid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.tasks import Answer, Score, Targets

#: What differs between two answers that are invalid for the same reason: a place, an index, a value.
_PARTICULARS = (
    (re.compile(r": line \d+ column \d+ \(char \d+\)"), ""),
    (re.compile(r"\[\d+\]"), "[…]"),
    (
        re.compile(r" is (?:'.*'|\".*\"|-?[\d.e+-]+|huge), not (?=one of|between)", re.DOTALL),
        " is not ",
    ),
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One record with the model's answer.

    Attributes:
        row: of the record in its file.
        text: what the model said.
        answer: the same as an object; None when it is not valid.
        invalid: why it is not.
        turn: of a conversation, which of its supervised turns; None for a record of the task's own form.
        truncated: whether it ran into the limit of tokens instead of ending; it is no answer then.
        sample: its number, from 1, among several answers to the same; None where there is one.
    """

    row: int
    record: Record
    reference: Answer
    text: str
    answer: Answer | None
    invalid: str | None
    turn: int | None = None
    truncated: bool = False
    sample: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As a line of the answers file."""
        turn = {} if self.turn is None else {"turn": self.turn}
        sample = {} if self.sample is None else {"sample": self.sample}
        return {
            "row": self.row,
            "task": self.record.task,
            **turn,
            **sample,
            "input": self.record.input,
            "reference": self.reference,
            "text": self.text,
            "valid": self.answer is not None,
            "invalid": self.invalid,
            "truncated": self.truncated,
        }


@dataclass(frozen=True, slots=True)
class InvalidAnswers:
    """Answers that are invalid for one reason.

    Attributes:
        reason: without what differs between them.
        count: how many.
        example: the first of them.
    """

    reason: str
    count: int
    example: Answered

    def to_json(self) -> dict[str, Any]:
        """Reason and number, and the example's row and text."""
        example = {"row": self.example.row, "text": self.example.text}
        return {"reason": self.reason, "count": self.count, "example": example}


@dataclass(frozen=True, slots=True)
class TaskEvaluation:
    """The scores of one task.

    Attributes:
        validity: share of answers that are JSON with the task's keys and types.
        scores: by name, with intervals.
        trivial: the same scores of the trivial predictor; empty where it had nothing to learn from.
        targets: side and value by score name.
        lower_is_better: names of scores where less is better.
        answers: every scored record.
        seconds: of generation.
    """

    task: str
    validity: Score
    scores: Mapping[str, Score]
    trivial: Mapping[str, Score]
    targets: Targets
    lower_is_better: frozenset[str]
    answers: Sequence[Answered]
    seconds: float

    @property
    def truncated(self) -> int:
        """Answers that ran into the limit of tokens."""
        return sum(each.truncated for each in self.answers)

    @property
    def invalid(self) -> list[InvalidAnswers]:
        """Why answers are not valid, the most frequent reason first."""
        by_reason: dict[str, list[Answered]] = {}
        for answered in self.answers:
            if answered.invalid is not None:
                by_reason.setdefault(_reason(answered.invalid), []).append(answered)
        groups = [InvalidAnswers(why, len(held), held[0]) for why, held in by_reason.items()]
        return sorted(groups, key=lambda group: -group.count)

    def met(self, name: str) -> bool | None:
        """Whether the score reaches its target; None without one, or where the score is not defined."""
        value = self.scores[name].value
        if name not in self.targets or value is None:
            return None
        side, bound = self.targets[name]
        return value < bound if side == "<" else value > bound

    def beats_trivial(self, name: str) -> bool | None:
        """Whether the whole interval is better than the trivial predictor's value; None where one is not known."""
        lower = name in self.lower_is_better
        return is_better(self.scores[name], self.trivial.get(name), lower_is_better=lower)

    def to_json(self) -> dict[str, Any]:
        """Scores, without the answers."""
        return {
            "n": self.validity.n,
            "json_validity": asdict(self.validity),
            "invalid": [each.to_json() for each in self.invalid],
            "truncated": self.truncated,
            "seconds": round(self.seconds, 2),
            "scores": {
                name: {
                    **score_json(score, self.trivial.get(name), name in self.lower_is_better),
                    "target": "".join(map(str, self.targets.get(name, ()))) or None,
                    "met": self.met(name),
                }
                for name, score in self.scores.items()
            },
        }


def is_better(score: Score, trivial: Score | None, *, lower_is_better: bool) -> bool | None:
    """Whether a score's whole interval is better than the trivial predictor's value; None where one is not known."""
    if trivial is None or trivial.value is None or score.low is None or score.high is None:
        return None
    return score.high < trivial.value if lower_is_better else score.low > trivial.value


def score_json(score: Score, trivial: Score | None, lower_is_better: bool) -> dict[str, Any]:
    """A score beside the trivial predictor's; what is not defined is null."""
    return {
        **asdict(score),
        "trivial": None if trivial is None else trivial.value,
        "beats_trivial": is_better(score, trivial, lower_is_better=lower_is_better),
        "lower_is_better": lower_is_better,
    }


def _reason(invalid: str) -> str:
    for particular, instead in _PARTICULARS:
        invalid = particular.sub(instead, invalid)
    return invalid
