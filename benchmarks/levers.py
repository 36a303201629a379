"""Which lever of learning reaches the default's final validation loss in how many of its steps, on nano.

    python -m benchmarks.levers [--samples 7979] [--seeds 3] [--levers default,pissa] [--share 0.25] [--folder DIR]
                                [--out FILE.json]

Every lever is trained with the recipe `demo` on the same generated samples, with a learning rate of its own. That is
raced: three rates, a factor of two apart, each up to a share of the schedule; while the best one is the lowest or the
highest, the next beyond it is tried too. With the best rate the lever is trained to its end under each seed. A run's
validation losses, over twenty points of its schedule and linear in between, say at which step it first had the loss
that the default's run under the same seed, which sees the same samples in the same order, has at its end.

With --folder it goes on where it was stopped: a run that is there is not trained again, and the race's runs are the
beginnings of the whole ones. About 26 runs and 20 quarters of runs, a minute to three each on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.race import RECORDS, SEED, machine
from lexitrain import generate_file, load_recipe, prepare, train
from lexitrain.recipe import Recipe
from lexitrain.runs import Run

RESULT = Path(__file__).parent / "results" / "levers.json"
SAMPLES = 7979
"""Training samples that the demo's 10,000 records give."""
LEVERS: Mapping[str, Sequence[str]] = {
    "default": (),
    "rslora": ("lora.scaling=rslora",),
    "pissa": ("lora.init=pissa",),
    "olora": ("lora.init=olora",),
    "orthogonal": ("lora.init=orthogonal",),
    "lora_plus 4": ("optimizer.lora_plus=4",),
    "lora_plus 16": ("optimizer.lora_plus=16",),
    "upper layers": ("lora.layers=[2-4]",),
}
"""Lever -> what it changes in `demo`."""
SLOWER = {"rslora": 4, "pissa": 4, "olora": 8, "lora_plus 4": 2, "lora_plus 16": 4}
"""How many times lower than the recipe's the middle one of a lever's first rates is. The race leaves it if it must."""
POINTS = 20
MOST_RATES = 7


@dataclass(frozen=True)
class Bench:
    """What all runs share.

    Attributes:
        data: prepared data.
        folder: receives a run folder each.
        steps: of a whole run.
        share: of the schedule up to which rates are raced.
        overrides: of the recipe `demo`, for every lever.
    """

    data: Path
    folder: Path
    steps: int
    share: float
    overrides: tuple[str, ...]

    def recipe(self, lever: str, rate: float, seed: int) -> Recipe:
        """The lever's recipe."""
        every = max(1, self.steps // POINTS)
        settings = (
            *("model.quantization=none", f"optimizer.learning_rate={rate!r}", f"seed={seed}"),
            *(f"validation.every={every}", f"checkpoints.every={self.steps}", "log_every=1000000"),
        )
        return load_recipe("demo", [*settings, *LEVERS[lever], *self.overrides])

    def curve(self, lever: str, rate: float, seed: int, share: float) -> list[tuple[int, float]]:
        """Step and validation loss, from before training up to a share of the schedule; trained if it is not there."""
        end = math.ceil(share * self.steps)
        name = f"{lever.replace(' ', '-')}-{rate:g}-{seed}"
        path = self.folder / "runs" / name
        recipe = self.recipe(lever, rate, seed)
        train(recipe, self.data, path, stop_after_step=None if share == 1 else end)
        run = Run(path)
        first = next(each for each in run.events() if each.event == "started")
        found = {
            each.step: each.validation_loss
            for each in run.metrics()
            if each.validation_loss is not None and each.step <= end
        }
        return [(0, first.details["validation_loss"]), *sorted(found.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--levers", default=",".join(LEVERS))
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--folder", type=Path, help="keeps all runs; goes on where it was stopped")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    names = ["default", *(each for each in arguments.levers.split(",") if each != "default")]
    with tempfile.TemporaryDirectory() as temporary:
        bench = bench_in(
            arguments.folder or Path(temporary),
            arguments.samples,
            arguments.share,
            tuple(arguments.overrides),
        )
        found = measure(bench, names, arguments.seeds)
    about = machine()
    result = {
        "command": "python -m benchmarks.levers",
        "date": date.today().isoformat(),
        "device": about["processor"],
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": {name: about[name] for name in ("torch", "transformers", "peft", "lexitrain")},
        "samples": arguments.samples,
        "seeds": arguments.seeds,
        "overrides": arguments.overrides,
        **found,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, row in found["levers"].items():
        print(f"{name}: rate {row['rate']:g}, loss {row['loss']['mean']:.4f}, {row['reaches']}")


def bench_in(folder: Path, samples: int, share: float, overrides: tuple[str, ...]) -> Bench:
    """The data, made once for a number of samples, and how many steps they are."""
    data = folder / f"data-{samples}"
    if not data.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        records = folder / f"records-{samples}.jsonl"
        generate_file(records, math.ceil(samples * RECORDS / SAMPLES), SEED)
        prepare([str(records)], data, seed=SEED, workers=0)
    with (data / "train.jsonl").open(encoding="utf-8") as lines:
        count = sum(1 for _ in lines)
    steps = count // load_recipe("demo", overrides).step.effective_batch
    return Bench(data, folder / f"samples-{samples}", steps, share, overrides)


def measure(bench: Bench, names: Sequence[str], seeds: int) -> dict[str, Any]:
    """Every lever's raced rate, its losses at the end, and when it has the default's."""
    rows: dict[str, Any] = {}
    aims, steps = [math.nan] * seeds, 1
    for name in names:
        rate, tried = raced(bench, name)
        curves = [bench.curve(name, rate, SEED + number, 1.0) for number in range(seeds)]
        ends = [curve[-1][1] for curve in curves]
        if name == "default":
            aims, steps = ends, curves[0][-1][0]
        reached = [step_of_loss(curve, aim) for curve, aim in zip(curves, aims, strict=True)]
        rows[name] = {
            "changes": list(LEVERS[name]),
            "rate": rate,
            "raced": {f"{each:g}": loss for each, loss in sorted(tried.items())},
            "loss": {"mean": statistics.fmean(ends), "runs": ends},
            "reaches": [None if each is None else round(each / steps, 3) for each in reached],
            "curves": curves,
        }
    return {"steps": steps, "levers": rows}


def raced(bench: Bench, name: str) -> tuple[float, dict[float, float]]:
    """The best learning rate of a lever, and the validation losses of all that were tried."""
    middle = load_recipe("demo", bench.overrides).optimizer.learning_rate / SLOWER.get(name, 1)
    losses: dict[float, float] = {}
    due = [middle / 2, middle, middle * 2]
    while due:
        for rate in due:
            loss = bench.curve(name, rate, SEED, bench.share)[-1][1]
            losses[rate] = loss if math.isfinite(loss) else math.inf
        best = min(losses, key=lambda rate: losses[rate])
        beyond = {min(losses): best / 2, max(losses): best * 2}
        due = [beyond[best]] if best in beyond and len(losses) < MOST_RATES else []
    return min(losses, key=lambda rate: losses[rate]), losses


def step_of_loss(curve: Sequence[tuple[int, float]], aim: float) -> float | None:
    """The step at which a curve of (step, loss), linear in between, first is at `aim` or below; None if it never is."""
    before = curve[0]
    for step, loss in curve:
        if loss <= aim:
            fall = before[1] - loss
            share = 1.0 if fall <= 0 else (before[1] - aim) / fall
            return before[0] + share * (step - before[0])
        before = (step, loss)
    return None


if __name__ == "__main__":
    main()
