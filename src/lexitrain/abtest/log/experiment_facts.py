"""What is decided when a test begins, kept in its log so that it cannot change midway without anybody noticing."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from lexitrain.abtest.assignment import Assignment
from lexitrain.abtest.log.database import Cursor, Database
from lexitrain.errors import InputError


@dataclass(frozen=True, slots=True)
class ExperimentFacts:
    """Attributes:
    experiment: its name.
    a, b: names of the two models, as they were given.
    ratio: the share of learners that arm a gets.
    salt: of the assignment, drawn when the test begins.
    begun: seconds since 1970.
    secret: by which the ids of this database are signed.
    plan: what `ab plan --json` holds under `planned`, as JSON; empty where there was none.
    """

    experiment: str
    a: str
    b: str
    ratio: float
    salt: bytes
    begun: float
    secret: bytes
    plan: str = ""

    @property
    def assignment(self) -> Assignment:
        """Which arm a learner gets."""
        return Assignment(self.experiment, self.salt, self.ratio)


def begin_or_go_on(
    database: Database, experiment: str, a: str, b: str, ratio: float, plan: str, now: float
) -> ExperimentFacts:
    """The test of this name: begun, where the database does not have it yet.

    Raises:
        InputError: it was begun with other models or another ratio.
    """
    cursor = database.begin()
    try:
        cursor.execute(
            "INSERT INTO facts (name, value) VALUES ('secret', ?) ON CONFLICT (name) DO NOTHING",
            (secrets.token_hex(32),),
        )
        cursor.execute(
            "INSERT INTO experiments (experiment, salt, a, b, ratio, begun, plan) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (experiment) DO NOTHING",
            (experiment, secrets.token_hex(16), a, b, ratio, now, plan),
        )
        database.commit()
        found = read_facts(database, experiment)
    except database.errors as error:
        raise database.refused(error) from None
    for option, was, wanted in (
        ("--a", found.a, a),
        ("--b", found.b, b),
        ("--ratio", found.ratio, ratio),
        ("--plan", found.plan or "no plan", plan or "no plan"),
    ):
        if was != wanted:
            raise InputError(
                f"The test {experiment!r} was begun with {was}, and this is {wanted}: its results would mean nothing.",
                where=option,
                fix="Give it as it was, or begin another test with --experiment NAME.",
            )
    return found


def read_facts(database: Database, experiment: str) -> ExperimentFacts:
    """What the log has of a test.

    Raises:
        InputError: it has none of this name.
    """
    cursor = database.begin()
    cursor.execute("SELECT value FROM facts WHERE name = 'secret'")
    secret = cursor.fetchone()
    cursor.execute(
        "SELECT a, b, ratio, salt, begun, plan FROM experiments WHERE experiment = ?", (experiment,)
    )
    row = cursor.fetchone()
    names = _names(cursor)
    database.rollback()
    if row is None or secret is None:
        raise InputError(
            f"There is no test {experiment!r} in this database.",
            where=database.address.shown,
            fix=f"It has: {', '.join(names) or 'none'}.",
        )
    a, b, ratio, salt, begun, plan = row
    return ExperimentFacts(
        experiment,
        str(a),
        str(b),
        float(ratio),
        bytes.fromhex(salt),
        float(begun),
        bytes.fromhex(secret[0]),
        str(plan),
    )


def only_experiment(database: Database) -> str:
    """The name of the database's only test.

    Raises:
        InputError: it has none, or several.
    """
    names = _names(database.begin())
    database.rollback()
    if len(names) != 1:
        raise InputError(
            f"This database has {len(names)} tests.",
            where=database.address.shown,
            fix=f"Name one with --experiment: {', '.join(names)}."
            if names
            else "Begin one with `lexitrain ab serve`.",
        )
    return names[0]


def _names(cursor: Cursor) -> list[str]:
    cursor.execute("SELECT experiment FROM experiments ORDER BY begun")
    return [str(row[0]) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something that happened to a test itself.

    Attributes:
        number: counts up.
        at: seconds since 1970.
        kind: `stopped`, `resumed` (an arm), `guardrail` (both arms are past a limit), `deleted` (a learner's data).
        arm: concerned.
        details: such as the reason.
    """

    number: int
    at: float
    kind: str
    arm: str | None
    details: dict[str, Any]


def read_events(database: Database, experiment: str, after: int = 0) -> list[LogEvent]:
    """The events of a test with a higher number, in order."""
    cursor = database.begin()
    cursor.execute(
        "SELECT number, at, kind, arm, details FROM events WHERE experiment = ? AND number > ? ORDER BY number",
        (experiment, after),
    )
    rows = cursor.fetchall()
    database.rollback()
    return [
        LogEvent(int(n), float(at), str(kind), arm, json.loads(said))
        for n, at, kind, arm, said in rows
    ]
