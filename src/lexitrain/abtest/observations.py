"""What a test of two models has seen: learners, what each was shown, and what each said of it.

The statistics read nothing else. Whoever has a log produces it with a `Collector`, which takes rows one by one and
refuses what would be silently wrong; `observation_file` has the form in which a test is exported and read again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import DataError

Status = Literal["ok", "error", "invalid_json"]
STATUSES: tuple[Status, ...] = ("ok", "error", "invalid_json")
METRICS = ("helpful", "stars", "fixed", "corrected", "seconds")
"""What a test may ask, in the order in which it does unless the experiment says otherwise: the first one decides."""
_LARGEST = 1e100  # of a number: its square is one, too
_NAME_LENGTH = 200
_YEAR_9999 = 253_370_764_800.0
_MOST_DRIFT = 60.0  # seconds by which a clock may lag behind the start of the test


@dataclass(frozen=True, slots=True)
class PlannedTest:
    """What was decided before the test; `ab plan --json` holds it under `planned`.

    Attributes:
        metric: that decides.
        effect: smallest difference worth finding, in units of the metric, above 0.
        learners: of both arms together, at which the test ends.
        exposures: of both arms together that have a value of the metric, at that moment.
        design_effect: by how much the variance is larger than that of as many independent exposures.
        kind: `fixed` is read once, at its end; `sequential` may be read at any time.
        alpha: chance to call a difference where there is none.
        power: chance to find `effect` where it is there.
    """

    metric: str
    effect: float
    learners: int
    exposures: int
    design_effect: float = 1.0
    kind: Literal["fixed", "sequential"] = "sequential"
    alpha: float = 0.05
    power: float = 0.8


@dataclass(frozen=True, slots=True)
class Experiment:
    """A test of two models.

    Attributes:
        name: of the test.
        arms: names of the two; the first one is what the other is compared with.
        ratio: shares in which learners are meant to be assigned, as (1, 1).
        started: seconds since 1970 in UTC; None where nobody has recorded it.
        planned: what was decided before; None: nothing.
        metrics: of `METRICS`; the first one decides.
    """

    name: str
    arms: tuple[str, str]
    ratio: tuple[float, float] = (1.0, 1.0)
    started: float | None = None
    planned: PlannedTest | None = None
    metrics: tuple[str, ...] = METRICS


@dataclass(frozen=True, slots=True)
class Exposure:
    """One request that was answered, or failed to be, and what the learner said of it.

    Attributes:
        id: unique in the experiment.
        learner: opaque id.
        arm: whose model was asked.
        task: short name of the task.
        time: seconds since 1970 in UTC.
        latency_ms: from request to answer; None where it is not known.
        status: `ok`, `error` (no answer), or `invalid_json` (an answer that its task cannot read).
        helpful: yes or no; None: not rated.
        stars: 1 to 5; None: not rated.
        corrected: the learner gave a better text.
        fixed: the learner's sentence is right in the end; None: nobody knows.
    """

    id: str
    learner: str
    arm: str
    task: str
    time: float
    latency_ms: float | None = None
    status: Status = "ok"
    helpful: bool | None = None
    stars: int | None = None
    corrected: bool = False
    fixed: bool | None = None


@dataclass(frozen=True, slots=True)
class Observations:
    """All of a test in columns, `E` exposures in order of time, `L` learners in order of appearance.

    Attributes:
        experiment: what is tested.
        learners: `[L]`, ids.
        assigned: `[L]`, 0 or 1: the arm that the learner belongs to, whatever was shown later.
        pre: `[L]`, value from before the test, NaN where there is none.
        tasks: names.
        learner: `[E]`, place in `learners`.
        arm: `[E]`, 0 or 1: whose model was asked.
        task: `[E]`, place in `tasks`.
        time: `[E]`, seconds since 1970 in UTC.
        latency_ms: `[E]`, NaN where it is not known.
        status: `[E]`, place in `STATUSES`.
        helpful, fixed: `[E]`, 1, 0 or NaN (not said).
        stars: `[E]`, 1 to 5 or NaN.
        corrected: `[E]`, 1 or 0.
        repeated: exposures that were reported more than once, each counted once.
    """

    experiment: Experiment
    learners: tuple[str, ...]
    assigned: NDArray[np.int64]
    pre: NDArray[np.float64]
    tasks: tuple[str, ...]
    learner: NDArray[np.int64]
    arm: NDArray[np.int64]
    task: NDArray[np.int64]
    time: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    status: NDArray[np.int64]
    helpful: NDArray[np.float64]
    stars: NDArray[np.float64]
    corrected: NDArray[np.float64]
    fixed: NDArray[np.float64]
    repeated: int = 0


@dataclass(slots=True)
class Collector:
    """Takes a test row by row.

    The same exposure twice counts once; two exposures of one id that differ are refused, as is whatever else could not
    have happened.
    """

    experiment: Experiment
    _rows: dict[str, tuple[Exposure, str]] = field(default_factory=dict[str, tuple[Exposure, str]])
    _learners: dict[str, tuple[int, float, str]] = field(
        default_factory=dict[str, tuple[int, float, str]]
    )
    _repeated: int = 0

    def add_learner(
        self, learner: str, *, arm: str | None = None, pre: float | None = None, where: str = ""
    ) -> None:
        """A learner with the arm that was assigned and the value from before the test, each where it is known.

        Args:
            where: for messages, such as `file:line`.

        Raises:
            DataError: an arm that the experiment has not, a value that is no number, or a learner told twice otherwise.
        """
        check_name(learner, "learner", where)
        if pre is not None and not abs(pre) <= _LARGEST:
            raise DataError("`pre` is no finite number.", where=where or "pre")
        said = (
            -1 if arm is None else self._arm(arm, where),
            math.nan if pre is None else float(pre),
            where,
        )
        before = self._learners.setdefault(learner, said)
        if before[0] != said[0] or not (
            before[1] == said[1] or (math.isnan(before[1]) and math.isnan(said[1]))
        ):
            raise DataError(
                f"The learner {learner!r} is told twice, and not alike (first at {before[2] or 'another row'}).",
                where=where or "learner",
                fix="Keep one of the two.",
            )

    def add(self, exposure: Exposure, where: str = "") -> None:
        """An exposure.

        Args:
            where: for messages, such as `file:line`.

        Raises:
            DataError: a value out of its range, an arm that the experiment has not, a time before the test, or an id
                that another exposure has.
        """
        self._check(exposure, where)
        before = self._rows.setdefault(exposure.id, (exposure, where))
        if before[0] is exposure:
            return
        if before[0] != exposure:
            raise DataError(
                f"The exposure {exposure.id!r} is there twice, and not alike (first at {before[1] or 'another row'}).",
                where=where or "exposure",
                fix="Keep the newest state of each exposure only.",
            )
        self._repeated += 1

    def _arm(self, arm: str, where: str) -> int:
        if arm not in self.experiment.arms:
            raise DataError(
                f"The arm {arm!r} is not one of the experiment's, {' and '.join(map(repr, self.experiment.arms))}.",
                where=where or "arm",
            )
        return self.experiment.arms.index(arm)

    def _check(self, exposure: Exposure, where: str) -> None:
        for name in ("id", "learner", "task"):
            check_name(getattr(exposure, name), name, where)
        self._arm(exposure.arm, where)
        started = self.experiment.started
        problem = None
        if not 0 <= exposure.time < _YEAR_9999:
            problem = "`time` is no moment between 1970 and 9999."
        elif started is not None and exposure.time < started - _MOST_DRIFT:
            problem = f"This was shown at {_moment(exposure.time)}, before the test began ({_moment(started)})."
        elif exposure.latency_ms is not None and not 0 <= exposure.latency_ms <= _LARGEST:
            problem = "`latency_ms` is no number of milliseconds."
        elif exposure.status not in STATUSES:
            problem = f"`status` is none of {', '.join(STATUSES)}."
        elif exposure.stars is not None and exposure.stars not in range(1, 6):
            problem = "`stars` is none of 1, 2, 3, 4, 5."
        if problem is not None:
            raise DataError(problem, where=where or f"exposure {exposure.id}")

    def observations(self) -> Observations:
        """All that was added, in columns.

        Raises:
            DataError: nothing was shown to anybody.
        """
        if not self._rows:
            raise DataError("Nothing was shown to anybody yet.", where=self.experiment.name)
        rows = sorted((row for row, _ in self._rows.values()), key=lambda row: row.time)
        learners = {
            name: place for place, name in enumerate(dict.fromkeys(row.learner for row in rows))
        }
        for name in self._learners:
            learners.setdefault(name, len(learners))
        tasks = {name: place for place, name in enumerate(sorted({row.task for row in rows}))}
        arms = self.experiment.arms
        assigned = np.full(len(learners), -1)
        pre = np.full(len(learners), np.nan)
        for name, (arm, value, _) in self._learners.items():
            assigned[learners[name]], pre[learners[name]] = arm, value
        for row in rows:
            if assigned[learners[row.learner]] < 0:
                assigned[learners[row.learner]] = arms.index(row.arm)
        known = assigned >= 0  # a value from before says nothing of a learner who never came
        names = [name for name, place in learners.items() if known[place]]
        place_of = np.cumsum(known) - 1
        return Observations(
            experiment=self.experiment,
            learners=tuple(names),
            assigned=assigned[known],
            pre=pre[known],
            tasks=tuple(tasks),
            learner=np.array([place_of[learners[row.learner]] for row in rows], dtype=np.int64),
            arm=np.array([arms.index(row.arm) for row in rows], dtype=np.int64),
            task=np.array([tasks[row.task] for row in rows], dtype=np.int64),
            time=_column(rows, "time"),
            latency_ms=_column(rows, "latency_ms"),
            status=np.array([STATUSES.index(row.status) for row in rows], dtype=np.int64),
            helpful=_column(rows, "helpful"),
            stars=_column(rows, "stars"),
            corrected=_column(rows, "corrected"),
            fixed=_column(rows, "fixed"),
            repeated=self._repeated,
        )


def _column(rows: list[Exposure], name: str) -> NDArray[np.float64]:
    values = [getattr(row, name) for row in rows]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def check_name(value: str, name: str, where: str) -> None:
    """Raises DataError where a name or an id is none that can be shown."""
    if not value or len(value) > _NAME_LENGTH or not value.isprintable():
        raise DataError(
            f"`{name}` is empty, longer than {_NAME_LENGTH} characters, or holds one that cannot be printed.",
            where=where or name,
        )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
