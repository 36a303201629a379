"""What is written to a log: each function is one job of the writer, and does the same when it is done twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lexitrain.abtest.assignment import Arm
from lexitrain.abtest.log.database import Cursor
from lexitrain.storage import json_text

State = Literal["open", "answered", "invalid", "error", "gone"]
"""Of an exposure: being answered; answered; by something that its task cannot read; by an error; left by the learner
before the answer was complete. One that stays open was cut off with its server."""

Rated = Literal["counted", "stale", "unknown"]
"""What became of a rating: it counts; one as new is there already; there is no such exposure."""


@dataclass(frozen=True, slots=True)
class NewExposure:
    """A request, before the model is asked.

    Attributes:
        exposure, learner: opaque ids.
        consent: version that the learner must have agreed to.
        assigned: the learner's arm.
        served: the arm that is asked; another one where his is stopped.
        at: seconds since 1970.
        sentence: what the learner wrote, where texts are kept.
    """

    exposure: str
    experiment: str
    learner: str
    consent: str
    task: str
    assigned: Arm
    served: Arm
    at: float
    sentence: str | None = None


def agree(learner: str, version: str, at: float) -> Callable[[Cursor], None]:
    """A learner has agreed to a version of the consent's text."""

    def work(cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO learners (learner, consent, agreed) VALUES (?, ?, ?)"
            " ON CONFLICT (learner) DO UPDATE SET consent = excluded.consent, agreed = excluded.agreed"
            " WHERE learners.consent <> excluded.consent",
            (learner, version, at),
        )

    return work


def expose(new: NewExposure) -> Callable[[Cursor], bool]:
    """One row for one request; whether the learner had agreed, and so may be answered."""

    def work(cursor: Cursor) -> bool:
        cursor.execute(
            "SELECT 1 FROM learners WHERE learner = ? AND consent = ?", (new.learner, new.consent)
        )
        if cursor.fetchone() is None:
            return False
        cursor.execute(
            "INSERT INTO exposures (exposure, experiment, learner, task, assigned, served, at, state, sentence)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?) ON CONFLICT (exposure) DO NOTHING",
            (
                *(new.exposure, new.experiment, new.learner, new.task, new.assigned, new.served),
                *(new.at, new.sentence),
            ),
        )
        return True

    return work


def complete(
    exposure: str, state: State, seconds: float, answer: str | None
) -> Callable[[Cursor], None]:
    """How a request ended.

    Args:
        seconds: from the request to its end.
        answer: where texts are kept.
    """

    def work(cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE exposures SET state = ?, seconds = ?, answer = ? WHERE exposure = ? AND state = 'open'",
            (state, seconds, answer, exposure),
        )

    return work


def rate(
    exposure: str,
    learner: str,
    *,
    helpful: bool | None,
    stars: int | None,
    corrected: str | None,
    revision: int,
    at: float,
) -> Callable[[Cursor], Rated]:
    """What a learner says of an answer; a newer revision replaces it, an old one never comes back."""

    def work(cursor: Cursor) -> Rated:
        if not _is_theirs(cursor, exposure, learner):
            return "unknown"
        cursor.execute(
            "INSERT INTO ratings (exposure, helpful, stars, corrected, revision, at) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (exposure) DO UPDATE SET helpful = excluded.helpful, stars = excluded.stars,"
            " corrected = excluded.corrected, revision = excluded.revision, at = excluded.at"
            " WHERE ratings.revision < excluded.revision",
            (exposure, None if helpful is None else int(helpful), stars, corrected, revision, at),
        )
        return "counted" if cursor.rowcount else "stale"

    return work


def note_outcome(
    exposure: str, learner: str, *, fixed: bool, revision: int, at: float
) -> Callable[[Cursor], Rated]:
    """Whether the learner's sentence is right in the end; revisions as of `rate`."""

    def work(cursor: Cursor) -> Rated:
        if not _is_theirs(cursor, exposure, learner):
            return "unknown"
        cursor.execute(
            "INSERT INTO outcomes (exposure, fixed, revision, at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (exposure) DO UPDATE SET fixed = excluded.fixed, revision = excluded.revision,"
            " at = excluded.at WHERE outcomes.revision < excluded.revision",
            (exposure, int(fixed), revision, at),
        )
        return "counted" if cursor.rowcount else "stale"

    return work


def _is_theirs(cursor: Cursor, exposure: str, learner: str) -> bool:
    cursor.execute(
        "SELECT 1 FROM exposures WHERE exposure = ? AND learner = ?", (exposure, learner)
    )
    return cursor.fetchone() is not None


def delete_learner(learner: str, at: float) -> Callable[[Cursor], int]:
    """Everything of a learner goes; each test keeps a note of how many exposures of which arm went, and no more.

    The job returns how many exposures there were.
    """

    def work(cursor: Cursor) -> int:
        cursor.execute(
            "SELECT experiment, assigned, COUNT(*) FROM exposures WHERE learner = ? GROUP BY experiment, assigned",
            (learner,),
        )
        gone = cursor.fetchall()
        for table in ("ratings", "outcomes"):
            cursor.execute(
                f"DELETE FROM {table} WHERE exposure IN (SELECT exposure FROM exposures WHERE learner = ?)",
                (learner,),
            )
        cursor.execute("DELETE FROM exposures WHERE learner = ?", (learner,))
        cursor.execute("DELETE FROM learners WHERE learner = ?", (learner,))
        for experiment, arm, count in gone:
            note_event(experiment, at, "deleted", arm, {"exposures": count})(cursor)
        return sum(count for _, _, count in gone)

    return work


def note_event(
    experiment: str, at: float, kind: str, arm: str | None, details: dict[str, Any]
) -> Callable[[Cursor], None]:
    """Something that happened to the test itself."""

    def work(cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO events (experiment, at, kind, arm, details) VALUES (?, ?, ?, ?, ?)",
            (experiment, at, kind, arm, json_text(details)),
        )

    return work
