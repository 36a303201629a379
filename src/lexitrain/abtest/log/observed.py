"""From a log to what the statistics read.

A learner belongs to the arm that the hash gives him. What he left before its end is no fault of the arm and counts as
shown; what was cut off with its server is an error, and what is being answered just now is left out. While an arm is
stopped one model answers everybody: that time says nothing of a difference, and is left out for both arms.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lexitrain.abtest.log.database import Address, Database
from lexitrain.abtest.log.experiment_facts import (
    ExperimentFacts,
    LogEvent,
    only_experiment,
    read_events,
    read_facts,
)
from lexitrain.abtest.observation_file import planned_from, read_observations
from lexitrain.abtest.observations import (
    METRICS,
    Collector,
    Experiment,
    Exposure,
    Observations,
    Status,
)

_UNDER_WAY_SECONDS = 900.0
_STATUS: dict[str, Status] = {
    "answered": "ok",
    "gone": "ok",
    "invalid": "invalid_json",
    "error": "error",
    "open": "error",
}


def read_ab(data: str | Path, experiment: str | None = None) -> Observations:
    """What a test has seen, from its log or from an exported file.

    Args:
        data: file or URL of the database of `serve_ab`, or JSON lines as `observation_file.py` describes them.
        experiment: name of the test; not needed where there is one.

    Raises:
        InputError: there is no such database or test.
        DataError: the file cannot be read, a line cannot be used, or nothing was shown to anybody yet.
    """
    return observed(data, experiment) if is_log(data) else read_observations(data)


def observed(data: str | Path, experiment: str | None = None) -> Observations:
    """What a test has seen.

    Args:
        data: file or URL of the database.
        experiment: name of the test; not needed where there is one.

    Raises:
        InputError: there is no such database or test.
        DataError: nothing was shown to anybody yet.
    """
    address = Address(data)
    with closing(address.read()) as database:
        try:
            facts = read_facts(database, experiment or only_experiment(database))
            return _observations(database, facts)
        except database.errors as error:
            raise database.refused(error) from None


def is_log(data: str | Path) -> bool:
    """Whether this names the database of a log, and not an exported file."""
    file = Address(data).file
    if file is None or not file.is_file():
        return file is None
    with file.open("rb") as opened:
        return opened.read(16) == b"SQLite format 3\0"


def experiment_of(facts: ExperimentFacts) -> Experiment:
    """A test as the statistics know it."""
    planned = planned_from(json.loads(facts.plan), "plan") if facts.plan else None
    first = () if planned is None else (planned.metric,)
    return Experiment(
        facts.experiment,
        arm_names(facts),
        (facts.ratio, 1 - facts.ratio),
        started=facts.begun,
        planned=planned,
        metrics=(*first, *(each for each in METRICS if each not in first)),
    )


def arm_names(facts: ExperimentFacts) -> tuple[str, str]:
    """Short names of the models, told apart where they are the same."""
    a, b = (
        (name.rpartition("#")[2] or name) if "://" in name else (Path(name).name or name)
        for name in (facts.a, facts.b)
    )
    return (a, b) if a != b else (f"{a} (a)", f"{b} (b)")


def _observations(database: Database, facts: ExperimentFacts) -> Observations:
    collector = Collector(experiment_of(facts))
    names = dict(zip(("a", "b"), arm_names(facts), strict=True))
    cursor = database.begin()
    cursor.execute(
        "SELECT e.exposure, e.learner, e.task, e.assigned, e.served, e.at, e.state, e.seconds,"
        " r.helpful, r.stars, r.corrected IS NOT NULL, o.fixed FROM exposures e"
        " LEFT JOIN ratings r ON r.exposure = e.exposure LEFT JOIN outcomes o ON o.exposure = e.exposure"
        " WHERE e.experiment = ? AND NOT (e.state = 'open' AND e.at > ?) ORDER BY e.at",
        (facts.experiment, time.time() - _UNDER_WAY_SECONDS),
    )
    rows = cursor.fetchall()
    database.rollback()
    stops = _stops(read_events(database, facts.experiment))
    told: set[str] = set()
    for exposure, learner, task, assigned, served, at, state, seconds, *said in rows:
        helpful, stars, corrected, fixed = said
        if served != assigned or any(start <= at < end for start, end in stops):
            continue
        if learner not in told:
            told.add(learner)
            collector.add_learner(learner, arm=names[assigned])
        unknown = seconds is None or state not in {"answered", "invalid"}
        collector.add(
            Exposure(
                exposure,
                learner,
                names[served],
                task,
                float(at),
                latency_ms=None if unknown else 1e3 * float(seconds),  # pyright: ignore[reportArgumentType]
                status=_STATUS[state],
                helpful=None if helpful is None else bool(helpful),
                stars=None if stars is None else int(stars),
                corrected=bool(corrected),
                fixed=None if fixed is None else bool(fixed),
            )
        )
    return collector.observations()


def _stops(events: Sequence[LogEvent]) -> list[tuple[float, float]]:
    """The times, as (from, to), in which an arm was stopped."""
    found: list[tuple[float, float]] = []
    since: float | None = None
    for event in events:
        if event.kind == "stopped" and since is None:
            since = event.at
        elif event.kind == "resumed" and since is not None:
            found.append((since, event.at))
            since = None
    return found if since is None else [*found, (since, math.inf)]
