"""One trial of a study, what came of it, and what a design of trials is.

A unit is a value: the same changes, share and seed are the same unit on every machine and after every kill, and have
the same key. So what is still to do follows from what is done, and nobody has to remember it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lexitrain.recipe import field_text

Changes = Mapping[str, Any]
"""Fields of a recipe by their dotted names, with the values that they get."""


def in_words(changes: Changes) -> str:
    """Changes as `field=value`, or that there are none."""
    said = [f"{name}={field_text(value)}" for name, value in changes.items()]
    return ", ".join(said) or "the recipe itself"


@dataclass(frozen=True)
class Unit:
    """A run up to a share of its schedule.

    Attributes:
        changes: what differs from the recipe that the study is about.
        share: of the samples that the whole run sees; 1: to its end.
        seed: the recipe's.
    """

    changes: Changes
    share: float
    seed: int

    @property
    def key(self) -> str:
        """Identifies the unit within its study."""
        content = {"changes": dict(self.changes), "share": round(self.share, 6), "seed": self.seed}
        return json.dumps(content, sort_keys=True)

    @property
    def changed(self) -> str:
        """The changes as `field=value`, or that it is the recipe itself."""
        return in_words(self.changes)

    @property
    def run_key(self) -> str:
        """Identifies its run: units that differ in their share alone are parts of one run."""
        return json.dumps({"changes": dict(self.changes), "seed": self.seed}, sort_keys=True)


@dataclass(frozen=True)
class Outcome:
    """What came of a unit.

    Attributes:
        unit: which one.
        run: name of its folder in `trials/`.
        state: `finished`; or `failed`, and `reason` says why.
        loss: validation loss, nats a supervised token: at its share, or of the adapter that a whole run ships. None
            where it failed.
        last_loss: the one at the end of a whole run.
        steps: optimizer steps done.
        seconds: of the run so far: its training steps, or where that is more, this trial with its loading.
        hours: that this trial took of a machine, which it shares with the other workers there.
        memory_gb: peak of the allocator, 10^9 bytes: measured on a GPU; on a CPU the one that was foreseen, as a
            process there holds libraries and the data besides.
        parameters: that are trained.
        samples: hash of the samples that it was trained and validated on, in token ids; losses on others do not
            compare.
        reason: why it failed.
    """

    unit: Unit
    run: str
    state: Literal["finished", "failed"]
    loss: float | None = None
    last_loss: float | None = None
    steps: int = 0
    seconds: float = 0.0
    hours: float = 0.0
    memory_gb: float | None = None
    parameters: int | None = None
    samples: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """For result.json."""
        return {
            "run": f"trials/{self.run}",
            "changes": dict(self.unit.changes),
            "share": round(self.unit.share, 6),
            "seed": self.unit.seed,
            "state": self.state,
            "loss": self.loss,
            "last_loss": self.last_loss,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "hours": round(self.hours, 6),
            "memory_gb": self.memory_gb,
            "parameters": self.parameters,
            "samples": self.samples,
            **({"reason": self.reason} if self.reason else {}),
        }


Outcomes = Mapping[str, Outcome]
"""By the key of the unit."""


@dataclass(frozen=True)
class Stage:
    """Units of a design that cost alike, for its price and for the tables.

    Attributes:
        title: what it is.
        count: how many units.
        share: of a whole run that each of them adds.
        examples: changes whose mean cost stands for theirs.
    """

    title: str
    count: int
    share: float
    examples: Sequence[Changes]


class Design(Protocol):
    """Which units a study consists of."""

    @property
    def space(self) -> dict[str, Any]:
        """What is searched, as plain data: a study with another space is another study."""
        ...

    @property
    def axes(self) -> Mapping[str, Sequence[Any]]:
        """Field -> the values that it may take."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """What it consists of, in order."""
        ...

    def due(self, outcomes: Outcomes) -> list[Unit]:
        """The units to run now, given what is done; empty when all is."""
        ...
