"""One piece of advice: what was found, how many, why it matters for which score, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lexitrain.errors import number_of
from lexitrain.tasks import Task


@dataclass(frozen=True, slots=True)
class Advice:
    """What in the data will explain a bad score.

    Attributes:
        kind: its name for programs.
        task: whose records; empty where it is about all.
        what: what was found, a sentence with its numbers.
        why: what it does to which score.
        remedy: what to do.
        count: how many records.
        of: out of how many.
        field: of the answer, where it is about one.
        scores: those it is about.
        examples: `file:line` of some, with what stands there.
    """

    kind: str
    task: str
    what: str
    why: str
    remedy: str
    count: int
    of: int
    field: str = ""
    scores: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `report.json` holds it, under `advice`."""
        return {
            "kind": self.kind,
            "task": self.task or None,
            "field": self.field or None,
            "count": self.count,
            "of": self.of,
            "scores": list(self.scores),
            "what": self.what,
            "why": self.why,
            "do": self.remedy,
            "examples": list(self.examples),
        }


def scores_about(task: Task, field: str = "") -> tuple[str, ...]:
    """The scores of a task that are about a field of its answer; the one that it is judged by where none is named."""
    known: Mapping[str, tuple[str, ...]] = task.scored_by
    return known.get(field) or ((task.primary,) if task.primary else ())


def named(scores: Sequence[str]) -> str:
    """The scores as a sentence names them."""
    return " and ".join(scores) or "the score"


def records(count: int) -> str:
    """`1 record`, `2 records`."""
    return number_of(count, "record")
