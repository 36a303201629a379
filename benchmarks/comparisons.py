"""Whether `compare`'s statistics hold: simulated comparisons of models on clustered records.

    python -m benchmarks.comparisons [--runs 2000]

Learners differ in how hard their sentences are and lean to one model or the other; each writes 1 to 8 of them. Of two
models that are equally good, the exchange test may find a difference in 5 % of cases, and the interval may miss 0 in
5 %. Of a model that is five points worse, the test should find that with the power that `records_for` promises, at the
number of records that a first comparison of 100 learners states. A model that is worse by exactly the margin may be
called no worse in 5 % of cases at most. Besides a share of right answers, F0.5 of edits is simulated, which is no mean.
Ten to fifteen minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.race import machine
from lexitrain.tasks.metrics.differences import Difference, difference
from lexitrain.tasks.metrics.edits import f_score
from lexitrain.tasks.metrics.scores import Sums, mean

RESULT = Path(__file__).parent / "results" / "comparisons.json"
LOSS = 0.05
PILOT = 100
RIGHT = 0.7
_SPREAD = math.sqrt(1 + 1 + 0.25 + 1)  # of difficulty, sentence, leaning and luck together

Answers = tuple[np.ndarray, np.ndarray, list[int]]
"""Right or wrong of both models [N], and the learner of each record."""


def answers(seed: int, learners: int, loss: float) -> Answers:
    """Two models' answers to the sentences of so many learners; the second is right less often by `loss`."""
    draw = np.random.default_rng(seed)
    groups = np.repeat(np.arange(learners), draw.integers(1, 9, learners))
    n = len(groups)
    hard, lean = draw.normal(0, 1, learners)[groups], draw.normal(0, 0.5, learners)[groups]
    sentence = draw.normal(0, 1, n)
    quantile = NormalDist().inv_cdf
    one = (hard + sentence + lean + draw.normal(0, 1, n)) / _SPREAD < quantile(RIGHT)
    two = (hard + sentence - lean + draw.normal(0, 1, n)) / _SPREAD < quantile(RIGHT - loss)
    return one.astype(float), two.astype(float), groups.tolist()


def of_share(seed: int, learners: int, loss: float, *, test: bool = True) -> Difference:
    """The difference in the share of right answers."""
    one, two, groups = answers(seed, learners, loss)
    return difference(mean(np.concatenate([one, two])), len(one), groups=groups, test=test)


def of_f_score(seed: int, learners: int, loss: float, *, test: bool = True) -> Difference:
    """The difference in F0.5, where each record is one edit that is made rightly, wrongly, or missed."""
    one, two, groups = answers(seed, learners, loss)
    right = np.concatenate([one, two])
    missed = np.random.default_rng(seed + 1).random(len(right)) < 0.4
    columns = np.stack([right, (1 - right) * ~missed, (1 - right)], axis=-1)
    statistic = Sums(columns, lambda sums: f_score(sums[:, 0], sums[:, 1], sums[:, 2]))
    return difference(statistic, len(one), groups=groups, test=test)


def equal_models(of: Callable[..., Difference], learners: int, runs: int) -> dict[str, float | int]:
    """How often a difference is found that is not there."""
    found = [of(seed, learners, 0.0) for seed in range(runs)]
    return {
        "learners": learners,
        "runs": runs,
        "found": _share([d.p is not None and d.p <= 0.05 for d in found]),
        "interval_misses_0": _share([not d.low <= 0 <= d.high for d in found]),  # type: ignore[operator]
    }


def worse_model(runs: int) -> dict[str, Any]:
    """How often a loss of five points is found at the number of records that a first comparison states."""
    first = [of_share(10**6 + seed, PILOT, 0.0, test=False) for seed in range(200)]
    stated = [each.records_for(LOSS) or 0 for each in first]
    a_learner = float(np.mean([each.n / each.groups for each in first]))
    found: list[bool] = []
    for seed in range(runs):
        learners = round(stated[seed % len(stated)] / a_learner)
        p = of_share(2 * 10**6 + seed, learners, LOSS).p
        found.append(p is not None and p <= 0.05)
    return {
        "loss": LOSS,
        "learners_in_first_comparison": PILOT,
        "records_stated": {
            "median": float(np.median(stated)),
            "least": min(stated),
            "most": max(stated),
        },
        "runs": runs,
        "power": _share(found),
    }


def at_the_margin(learners: int, runs: int) -> dict[str, float | int]:
    """How often a model that is worse by exactly the margin is called no worse, or worse by more."""
    found = [of_share(3 * 10**6 + seed, learners, LOSS, test=False) for seed in range(runs)]
    said = [each.no_worse(LOSS) for each in found]
    return {
        "learners": learners,
        "runs": runs,
        "called_no_worse": _share([each == "shown" for each in said]),
        "called_worse_by_more": _share([each == "refuted" for each in said]),
    }


def _share(cases: list[bool]) -> float:
    return round(sum(cases) / len(cases), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    runs, start = arguments.runs, time.monotonic()
    document = {
        "command": "python -m benchmarks.comparisons",
        "equal_models": {
            "share of right answers": [equal_models(of_share, n, runs) for n in (40, 120)],
            "F0.5": [equal_models(of_f_score, n, runs) for n in (40, 120)],
        },
        "five_points_worse": worse_model(max(20, runs // 2)),
        "at_the_margin": [at_the_margin(n, runs) for n in (40, 120, 400)],
        "seconds": round(time.monotonic() - start),
        "machine": machine(),
    }
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
