"""The scores of one task: values with intervals, the trivial predictor's beside them, and what they are worth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lexitrain.tasks import records_in_words

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.tasks import Answer, Confusion, Difference, Score, Targets

#: What differs between two answers that are invalid for the same reason: a place, an index, a value.
_PARTICULARS = (
    (re.compile(r": line \d+ column \d+ \(char \d+\)"), ""),
    (re.compile(r"\[\d+\]"), "[…]"),
    (
        re.compile(r" is (?:'.*'|\".*\"|-?[\d.e+-]+|huge), not (?=one of|between)", re.DOTALL),
        " is not ",
    ),
)

Learnt = Literal["learnt", "not shown", "worse than trivial", "unknown"]
TargetVerdict = Literal["met", "missed", "not shown"]


@dataclass(frozen=True, slots=True)
class Answered:
    """One record with the model's answer.

    Attributes:
        row: of the record in its file.
        text: what the model said.
        answer: the same as an object; None when it is not valid.
        invalid: why it is not.
        turn: of a conversation, which of its supervised turns; None for a record of the task's own form.
        loss: nats a token of the reference answer; None where the model gives no probabilities.
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
    loss: float | None = None
    truncated: bool = False
    sample: int | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells it from the other answers of its task: row, turn, sample."""
        return self.row, self.turn or 0, self.sample or 0

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
            "loss": self.loss,
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
        json_validity: share of answers that are JSON at all.
        validity: share of answers that are JSON with the task's keys and types.
        loss: nats a token of the reference answers; None where the model gives no probabilities.
        scores: by name, with intervals.
        trivial: the same scores of the trivial predictor; empty where it had nothing to learn from.
        gains: by score name, the model's score less the trivial predictor's, on the same records.
        primary: the score by which models are told better or worse.
        targets: side and value by score name.
        lower_is_better: names of scores where less is better.
        neither_is_better: names of scores that are no better higher or lower.
        details: tables of scores of parts of the records.
        confusion: how often each true class was answered as which; None of a task without classes.
        answers: every scored record.
        trained: whether the model was trained for the task; None where unknown.
        seconds: of generation.
    """

    task: str
    json_validity: Score
    validity: Score
    loss: Score | None
    scores: Mapping[str, Score]
    trivial: Mapping[str, Score]
    gains: Mapping[str, Difference]
    primary: str
    targets: Targets
    lower_is_better: frozenset[str]
    neither_is_better: frozenset[str]
    answers: Sequence[Answered]
    seconds: float
    details: Mapping[str, Mapping[str, Score]] = field(
        default_factory=dict[str, "Mapping[str, Score]"]
    )
    confusion: Confusion | None = None
    trained: bool | None = None

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

    def target_verdict(self, name: str) -> TargetVerdict | None:
        """Whether the whole interval reaches the target, misses it, or neither; None without target or interval."""
        score = self.scores[name]
        if name not in self.targets or score.value is None:
            return None
        side, bound = self.targets[name]
        if score.low is None or score.high is None:
            return "not shown"
        worst, best = (score.high, score.low) if side == "<" else (score.low, score.high)
        reaches, could = (
            (worst < bound, best < bound) if side == "<" else (worst > bound, best > bound)
        )
        return "met" if reaches else "not shown" if could else "missed"

    def met(self, name: str) -> bool | None:
        """Whether the whole interval reaches the target; None without one, or where the score is not defined."""
        verdict = self.target_verdict(name)
        return None if verdict is None else verdict == "met"

    def beats_trivial(self, name: str) -> bool | None:
        """Whether the score is better than the trivial predictor's on the same records, by the whole interval of the
        difference; None where that is not known."""
        return None if name in self.neither_is_better else self._side(name, better=True)

    @property
    def learnt(self) -> Learnt:
        """What the primary score says of the model beside the trivial predictor."""
        if self._side(self.primary, better=True):
            return "learnt"
        worse = self._side(self.primary, better=False)
        return "unknown" if worse is None else "worse than trivial" if worse else "not shown"

    @property
    def verdict(self) -> str:
        """One sentence: what the primary score says, and how sure."""
        score, trivial = self.scores.get(self.primary), self.trivial.get(self.primary)
        name = self.primary.replace("_", " ")
        if score is None or score.value is None:
            return f"{self.task}: {name} is not defined on these records."
        if trivial is None or trivial.value is None or self.learnt == "unknown":
            return f"{self.task}: {name} {score.value:.3f}; there is nothing to compare it with."
        gain = self.gains[self.primary]
        by = f"the difference is {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        against = f"{name} {score.value:.3f}, trivial predictor {trivial.value:.3f}; {by}"
        if self.learnt != "not shown":
            return f"{self.task}: {self.learnt}. {against}."
        wanted = gain.records_for(gain.value or 0.0)
        if wanted is None or wanted <= gain.n:
            return f"{self.task}: not shown. {against}."
        would = f"a difference as large would take {records_in_words(wanted)} records"
        return f"{self.task}: not shown. {against}; {would}."

    def _side(self, name: str, *, better: bool) -> bool | None:
        lower = (name in self.lower_is_better) == better
        return is_better(self.gains.get(name), lower_is_better=lower)

    def to_json(self) -> dict[str, Any]:
        """Scores, without the answers."""
        confusion = self.confusion
        return {
            "n": self.validity.n,
            "trained": self.trained,
            "learnt": self.learnt,
            "verdict": self.verdict,
            "primary": self.primary,
            "json_validity": asdict(self.json_validity),
            "schema_validity": asdict(self.validity),
            "loss": None if self.loss is None else asdict(self.loss),
            "invalid": [each.to_json() for each in self.invalid],
            "truncated": self.truncated,
            "seconds": round(self.seconds, 2),
            "scores": {
                name: {
                    **score_json(
                        score,
                        self.trivial.get(name),
                        beats_trivial=self.beats_trivial(name),
                        lower_is_better=name in self.lower_is_better,
                    ),
                    "target": "".join(map(str, self.targets.get(name, ()))) or None,
                    "met": self.met(name),
                    "target_verdict": self.target_verdict(name),
                }
                for name, score in self.scores.items()
            },
            "details": {
                table: {part: asdict(score) for part, score in parts.items()}
                for table, parts in self.details.items()
            },
            "confusion": None if confusion is None else asdict(confusion),
        }


def is_better(gain: Difference | None, *, lower_is_better: bool) -> bool | None:
    """Whether the whole interval of the difference to the trivial predictor lies on the better side; None where there
    is no such interval."""
    if gain is None or gain.low is None or gain.high is None:
        return None
    return gain.high < 0 if lower_is_better else gain.low > 0


def score_json(
    score: Score, trivial: Score | None, *, beats_trivial: bool | None, lower_is_better: bool
) -> dict[str, Any]:
    """A score beside the trivial predictor's; what is not defined is null."""
    return {
        **asdict(score),
        "trivial": None if trivial is None else trivial.value,
        "beats_trivial": beats_trivial,
        "lower_is_better": lower_is_better,
    }


def _reason(invalid: str) -> str:
    for particular, instead in _PARTICULARS:
        invalid = particular.sub(instead, invalid)
    return invalid
