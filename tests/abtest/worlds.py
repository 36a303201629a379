"""Tests that were never run: drawn learners with what they were shown and said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from lexitrain.abtest.observation_file import exported_lines
from lexitrain.abtest.observations import Collector, Experiment, Exposure, Observations, PlannedTest
from lexitrain.abtest.statistics.learner_sums import LearnerSums

ARMS = ("old", "new")
START = 1_790_000_000.0
DAY = 86400.0
TASKS = ("fluency", "grammar", "vocabulary")


def experiment(planned: PlannedTest | None = None, **others: object) -> Experiment:
    return replace(Experiment("tutor", ARMS, started=START, planned=planned), **others)  # type: ignore[arg-type]


def exposures(
    learners: int = 300,
    *,
    effect: float = 0.0,
    seed: int = 0,
    days: float = 14,
    errors: tuple[float, float] = (0.0, 0.0),
    slow: tuple[float, float] = (1.0, 1.0),
    first_share: float = 0.5,
    pick: Callable[[np.random.Generator, int], int] | None = None,
    chance: Callable[[int, int], float] | None = None,
) -> list[Exposure]:
    """Of learners who ask 1 to 6 times; `effect` is that of `new` on `helpful` and `fixed`."""
    random = np.random.default_rng(seed)
    found: list[Exposure] = []
    for learner in range(learners):
        arm = int(random.random() >= first_share)
        own, arrival = random.normal(0, 0.15), random.random() * days * 0.9
        for _ in range(random.integers(1, 7)):
            task = pick(random, arm) if pick else int(random.integers(3))
            p = min(0.98, max(0.02, (chance(arm, task) if chance else 0.6) + effect * arm + own))
            found.append(
                Exposure(
                    id=f"e{len(found)}",
                    learner=f"l{learner}",
                    arm=ARMS[arm],
                    task=TASKS[task],
                    time=START + DAY * (arrival + random.random() * (days - arrival)),
                    latency_ms=slow[arm] * float(np.exp(random.normal(6.5, 0.4))),
                    status="error" if random.random() < errors[arm] else "ok",
                    helpful=bool(random.random() < p),
                    stars=int(random.integers(1, 6)) if random.random() < 0.4 else None,
                    corrected=bool(random.random() < 0.1),
                    fixed=bool(random.random() < p),
                )
            )
    return found


def collected(
    rows: Iterable[Exposure],
    about: Experiment | None = None,
    learners: Mapping[str, tuple[str, float | None]] | None = None,
) -> Observations:
    collector = Collector(about or experiment())
    for name, (arm, pre) in (learners or {}).items():
        collector.add_learner(name, arm=arm, pre=pre)
    for row in rows:
        collector.add(row)
    return collector.observations()


def written(path: Path, rows: Iterable[Exposure], about: Experiment | None = None) -> Path:
    path.write_text("\n".join(exported_lines(about or experiment(), rows)) + "\n", encoding="utf-8")
    return path


def sums(
    arm: list[int] | np.ndarray,
    values: list[list[float]],
    pre: list[float] | np.ndarray | None = None,
) -> LearnerSums:
    """Of each learner's values."""
    return LearnerSums(
        np.asarray(arm, dtype=np.int64),
        np.array([sum(each) for each in values], dtype=float),
        np.array([len(each) for each in values], dtype=float),
        np.array([sum(value * value for value in each) for each in values], dtype=float),
        np.full(len(values), np.nan) if pre is None else np.asarray(pre, dtype=float),
    )


def line(kind: str, **values: object) -> str:
    return json.dumps({kind: values})
