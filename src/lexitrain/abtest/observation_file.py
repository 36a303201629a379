"""The form in which a test is exported: one JSON document a line, read without the service that wrote it.

    {"experiment": {"name": "tutor-2", "arms": ["old", "new"], "ratio": [1, 1], "started": "2026-11-01T00:00:00Z"}}
    {"learner": {"id": "k3v9", "arm": "new", "pre": 0.42}}
    {"exposure": {"id": "e1", "learner": "k3v9", "arm": "new", "task": "grammar", "time": "2026-11-01T07:12:09+07:00",
                  "latency_ms": 812.0, "status": "ok", "helpful": true, "stars": 4, "corrected": false, "fixed": true}}

The first line is the experiment. A learner's line is needed only for a value from before the test, or where the arm was
assigned before anything was shown; without one, the arm of the first exposure counts as assigned. Ratings stand in the
exposure that they are about. Of an exposure `latency_ms` and what follows it may be left out or null; `plan` in the
experiment is what `ab plan --json` holds under `planned`. A key that is not named here is refused: a
misspelt rating would otherwise be no rating.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from lexitrain.abtest.observations import (
    METRICS,
    STATUSES,
    Collector,
    Experiment,
    Exposure,
    Observations,
    PlannedTest,
    check_name,
)
from lexitrain.errors import DataError, nearest
from lexitrain.storage import json_text, user_path
from lexitrain.tasks import loads_strict

_LARGEST = 1e100  # of a number
_KINDS = ("experiment", "learner", "exposure")
_EXPERIMENT = ("name", "arms", "ratio", "started", "plan", "metrics")
_LEARNER = ("id", "arm", "pre")
_EXPOSURE = tuple(each.name for each in fields(Exposure))
_NEEDED = ("id", "learner", "arm", "task", "time")
_PLANNED = tuple(each.name for each in fields(PlannedTest))


def read_observations(path: str | Path) -> Observations:
    """Read an exported test.

    Args:
        path: JSON lines, as the head of this file describes them; `~` is a home folder.

    Raises:
        DataError: the file cannot be read, or a line cannot be used; it names the line.
    """
    path = user_path(path)
    collector: Collector | None = None
    for where, kind, values in _documents(path):
        if kind == "experiment":
            if collector is not None:
                raise DataError("A second experiment.", where=where, fix="A file holds one test.")
            collector = Collector(experiment_from(values, where))
        elif collector is None:
            raise DataError(
                f'The first line is no experiment but of the kind "{kind}".',
                where=where,
                fix='Begin with {"experiment": {"name": …, "arms": [A, B]}}.',
            )
        elif kind == "learner":
            _check_keys(values, _LEARNER, ("id",), kind, where)
            collector.add_learner(
                _text(values, "id", where),
                arm=None if values.get("arm") is None else _text(values, "arm", where),
                pre=_number(values, "pre", where),
                where=where,
            )
        else:
            collector.add(exposure_from(values, where), where)
    if collector is None:
        raise DataError("The file is empty.", where=path)
    try:
        return collector.observations()
    except DataError as error:
        raise DataError(error.what, where=path) from error


def exported_lines(
    experiment: Experiment,
    exposures: Iterable[Exposure],
    learners: Mapping[str, tuple[str, float | None]] | None = None,
) -> Iterator[str]:
    """The lines of an exported test, without line ends; `read_observations` gives the same test again.

    Args:
        experiment: what is tested.
        exposures: what was shown, in any order.
        learners: arm and value from before the test of each learner.
    """
    document: dict[str, Any] = {
        "name": experiment.name,
        "arms": list(experiment.arms),
        "ratio": list(experiment.ratio),
        "metrics": list(experiment.metrics),
    }
    if experiment.started is not None:
        document["started"] = _iso(experiment.started)
    if experiment.planned is not None:
        document["plan"] = asdict(experiment.planned)
    yield json_text({"experiment": document})
    for name, (arm, pre) in (learners or {}).items():
        yield json_text({"learner": {"id": name, "arm": arm, "pre": pre}})
    for each in exposures:
        yield json_text({"exposure": {**asdict(each), "time": _iso(each.time)}})


def experiment_from(values: Mapping[str, Any], where: str) -> Experiment:
    """The experiment of a JSON object, its plan under `plan`.

    Args:
        where: for messages, such as `file:line`.

    Raises:
        DataError: a key is missing, unknown, or of another type.
    """
    _check_keys(values, _EXPERIMENT, ("name", "arms"), "experiment", where)
    arms = _list(values["arms"], "arms", where)
    if (
        len(arms) != 2
        or not all(isinstance(each, str) and each for each in arms)
        or arms[0] == arms[1]
    ):
        raise DataError("`arms` are not the names of two different models.", where=where)
    for each in (*arms, values["name"]):
        check_name(each if isinstance(each, str) else "", "name", where)
    ratio = _list(values.get("ratio") or [1, 1], "ratio", where)
    if len(ratio) != 2 or not all(_is_number(each) and 0 < each <= _LARGEST for each in ratio):
        raise DataError(
            "`ratio` is not two numbers above 0.", where=where, fix="Half and half is [1, 1]."
        )
    metrics = _list(values.get("metrics") or list(METRICS), "metrics", where)
    for name in metrics:
        if name not in METRICS:
            close = nearest(str(name), METRICS)
            raise DataError(
                f"There is no metric {name!r}.",
                where=where,
                fix=f"Did you mean {close!r}?" if close else f"Metrics: {', '.join(METRICS)}.",
            )
    if len(set(metrics)) < len(metrics):
        raise DataError("`metrics` names one of them twice.", where=where)
    plan = values.get("plan")
    return Experiment(
        name=_text(values, "name", where),
        arms=(arms[0], arms[1]),
        ratio=(float(ratio[0]), float(ratio[1])),
        started=None if values.get("started") is None else _time(values, "started", where),
        planned=None if plan is None else planned_from(plan, where),
        metrics=tuple(metrics),
    )


def read_planned(path: str | Path) -> PlannedTest:
    """What was planned, from what `ab plan --json` printed.

    Raises:
        DataError: the file cannot be read, or is no plan.
    """
    path = user_path(path)
    try:
        said = loads_strict(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"The plan cannot be read: {error.strerror}.", where=path) from error
    except ValueError as error:
        raise DataError(f"The plan is no JSON: {error}.", where=path) from error
    values = _object(said, "plan", str(path))
    return planned_from(values.get("planned", values), str(path))


def planned_from(values: Any, where: str) -> PlannedTest:
    """The plan of a JSON object, as `ab plan --json` holds it under `planned`.

    Raises:
        DataError: a key is missing, unknown, or of another type or range.
    """
    values = _object(values, "plan", where)
    _check_keys(values, _PLANNED, ("metric", "effect", "learners", "exposures"), "plan", where)
    planned = PlannedTest(**cast("dict[str, Any]", dict(values)))
    numbers = (planned.effect, planned.learners, planned.exposures, planned.design_effect)
    shares = (planned.alpha, planned.power)
    whole = (planned.learners, planned.exposures)
    if (
        not all(_is_number(each) and 0 < each <= _LARGEST for each in numbers)
        or not all(type(each) is int for each in whole)
        or not all(_is_number(each) and 0 < each < 1 for each in shares)
        or planned.kind not in ("fixed", "sequential")
        or planned.metric not in METRICS
    ):
        raise DataError(
            "The plan holds a value that no plan has.",
            where=where,
            fix="Take what `ab plan --json` holds under `planned`.",
        )
    return planned


def exposure_from(values: Mapping[str, Any], where: str) -> Exposure:
    """The exposure of a JSON object.

    Raises:
        DataError: a key is missing, unknown, or of another type.
    """
    _check_keys(values, _EXPOSURE, _NEEDED, "exposure", where)
    status = values.get("status") or "ok"
    if status not in STATUSES:
        raise DataError(f"`status` is none of {', '.join(STATUSES)}.", where=where)
    stars = _number(values, "stars", where)
    if stars is not None and stars != int(stars):
        raise DataError("`stars` is none of 1, 2, 3, 4, 5.", where=where)
    return Exposure(
        **{name: _text(values, name, where) for name in ("id", "learner", "arm", "task")},
        time=_time(values, "time", where),
        latency_ms=_number(values, "latency_ms", where),
        status=status,
        helpful=_bool(values, "helpful", where),
        stars=None if stars is None else int(stars),
        corrected=bool(_bool(values, "corrected", where)),
        fixed=_bool(values, "fixed", where),
    )


def _documents(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(file:line, kind, values) of each line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    where = f"{path}:{number}"
                    yield where, *_document(line, where)
    except UnicodeDecodeError as error:
        raise DataError("The file is not UTF-8.", where=path) from error
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error


def _document(line: str, where: str) -> tuple[str, Mapping[str, Any]]:
    try:
        said = loads_strict(line)
    except ValueError as error:
        raise DataError(f"The line is no JSON: {error}.", where=where) from error
    values = _object(said, "line", where)
    if len(values) != 1 or next(iter(values)) not in _KINDS:
        fix = f"A line is an object with one key: {', '.join(_KINDS)}."
        if set(values) & {"rating", "ratings", "outcome"}:
            fix = "Ratings and outcomes stand in the exposure that they are about: as they are, nobody knows of which."
        raise DataError("The line is of no known kind.", where=where, fix=fix)
    kind = next(iter(values))
    return kind, _object(values[kind], kind, where)


def _object(value: Any, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"The {name} is no object.", where=where)
    return cast("dict[str, Any]", value)


def _list(value: Any, name: str, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"`{name}` is no list.", where=where)
    return cast("list[Any]", value)


def _check_keys(
    values: Mapping[str, Any],
    known: tuple[str, ...],
    needed: tuple[str, ...],
    kind: str,
    where: str,
) -> None:
    for key in values:
        if key not in known:
            close = nearest(key, known)
            raise DataError(
                f"The {kind} has a key {key!r}, which is not known.",
                where=where,
                fix=f"Did you mean {close!r}?" if close else f"Keys: {', '.join(known)}.",
            )
    missing = [key for key in needed if values.get(key) is None]
    if missing:
        raise DataError(f"The {kind} has no {' and no '.join(map(repr, missing))}.", where=where)


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise DataError(f"`{name}` is no text.", where=where, fix=f'Write "{value}" with quotes.')
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(values: Mapping[str, Any], name: str, where: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        number = float(value) if _is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"`{name}` is no finite number.", where=where)
    return number


def _bool(values: Mapping[str, Any], name: str, where: str) -> bool | None:
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        raise DataError(f"`{name}` is none of true, false, null.", where=where)
    return value


def _time(values: Mapping[str, Any], name: str, where: str) -> float:
    """Seconds since 1970 in UTC. A moment without its distance from UTC is refused: read in another zone it would move
    exposures to another day."""
    text = _text(values, name, where)
    try:
        moment = datetime.fromisoformat(text)
        seconds = moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"`{name}` is no moment: {text[:80]!r}.",
            where=where,
            fix="Write 2026-11-01T07:12:09+07:00.",
        ) from error
    if seconds is None:
        raise DataError(
            f"`{name}` does not say its distance from UTC: {text[:80]!r}.",
            where=where,
            fix=f"Write {text[:40]}Z if it is UTC, else {text[:40]}+07:00 or what holds there.",
        )
    return seconds


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
