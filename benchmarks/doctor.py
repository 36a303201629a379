"""Whether `doctor RUN` names what made a run slow, and what mending gains: `python -m benchmarks.doctor`.

One slowness at a time is planted into the same short nano run: a loader that sleeps, padded rows, a checkpoint at every
step, one thread, a mirror on a slow disk, busy loops. Each run is a process of its own, in turns with the same run
without the plant. `doctor` is asked about the planted one; what it says of the gain is held against the difference of
the two runs' own clocks, from the first step to the return of `train`.

Passed: the plant is named first, with a gain within a quarter of what was measured. Other work on the machine disturbs
all of it; the result keeps the load from before. Six plants with three rounds take some 25 minutes on two cores;
`--steps 40 --rounds 1` tries it in five.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.busy_machine import busy_loops
from benchmarks.workload import circumstances

RESULT = Path(__file__).parent / "results" / "doctor.json"
SAMPLES = 12
WITHIN = 0.25
"""How far a told gain may be from the measured one, of the latter."""
_SLEEPS = {"loader": 0.3, "mirror": 8.0}
"""Seconds of each step's loader, and of each copy."""
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Variables that say how threads wait; the result keeps them, because a busy machine's cost depends on them."""


@dataclass(frozen=True, slots=True)
class Plant:
    """A planted slowness.

    Attributes:
        cause: how the doctor calls it.
        settings: of the recipe.
        one_thread: computes with one thread.
        loops: whether busy loops run beside it.
        mirror: whether it is mirrored.
        patch: name of what is changed in the process.
    """

    cause: str
    settings: tuple[str, ...] = ()
    one_thread: bool = False
    loops: bool = False
    mirror: bool = False
    patch: str = ""


PLANTS = {
    "loader with a sleep": Plant("data", ("data.workers=0",), patch="loader"),
    "padded rows": Plant("layout", ("step.layout=padded",)),
    "checkpoint at every step": Plant("checkpoints", ("checkpoints.every=1",)),
    "one thread": Plant("threads", one_thread=True),
    "mirror on a slow disk": Plant("mirror", mirror=True, patch="mirror"),
    "busy loops": Plant("busy machine", loops=True),
}


def slow_loader(seconds: float) -> None:
    """Each step's samples take so long to make."""
    from lexitrain.training.step_work import StepSource

    work: Callable[[StepSource, int], Any] = StepSource.work

    def slow(source: StepSource, step: int) -> Any:
        time.sleep(seconds)
        return work(source, step)

    StepSource.work = slow


def slow_mirror(seconds: float) -> None:
    """Each copy to the mirror takes so long."""
    from lexitrain.training.recovery.mirror import Mirror

    copy: Callable[[Mirror], None] = Mirror.copy

    def slow(mirror: Mirror) -> None:
        time.sleep(seconds)
        copy(mirror)

    Mirror.copy = slow


PATCHES = {"loader": slow_loader, "mirror": slow_mirror}


@dataclass
class _Clock:
    """Notes when the first step begins."""

    started: float = field(default=0.0)

    def stage(self, text: str) -> None:
        """Ignored."""

    def progress(self, progress: Any) -> None:
        """Ignored."""

    def event(self, event: Any) -> None:
        if event.event == "started":
            self.started = time.perf_counter()


def worker(arguments: list[str]) -> None:
    """Train, or ask the doctor, in this process."""
    asked = json.loads(arguments[1])
    if asked["what"] == "ask":
        from lexitrain import slow_run

        print(json.dumps(slow_run(asked["run"], profile=asked["profile"]).to_json()))
        return
    from lexitrain import load_recipe, train

    if asked["patch"]:
        PATCHES[asked["patch"]](asked["sleep"])
    settings = [
        f"step.effective_batch={SAMPLES}",
        "checkpoints.every=10000",
        "log_every=5",
        *asked["settings"],
    ]
    clock = _Clock()
    train(
        load_recipe("demo", settings),
        asked["data"],
        asked["run"],
        mirror=asked["mirror"],
        observer=clock,
    )
    print(json.dumps({"seconds": time.perf_counter() - clock.started}))


def in_process(asked: dict[str, Any], threads: int) -> dict[str, Any]:
    """What `worker` says in a new process."""
    code = "import sys; from benchmarks.doctor import worker; worker(sys.argv)"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(asked)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def once(
    plant: Plant, data: Path, folder: Path, *, threads: int, loops: int, factor: float
) -> dict[str, Any]:
    """The run with the plant and without, and what the doctor says of the first."""
    used = 1 if plant.one_thread else threads
    asked = {
        "what": "train",
        "data": str(data),
        "run": str(folder / "planted"),
        "settings": plant.settings,
        "mirror": str(folder / "drive") if plant.mirror else None,
        "patch": plant.patch,
        "sleep": factor * _SLEEPS.get(plant.patch, 0.0),
    }
    with busy_loops(loops) if plant.loops else nullcontext():
        planted = in_process(asked, used)
    mended = in_process(
        {**asked, "run": str(folder / "mended"), "settings": (), "mirror": None, "patch": ""},
        threads,
    )
    measured = (planted["seconds"] - mended["seconds"]) / 60
    ask = {"what": "ask", "run": str(folder / "planted")}
    said, journals = (
        in_process({**ask, "profile": profile}, used)["causes"] for profile in (True, False)
    )
    gains = {each["name"]: each["gain_minutes"] for each in said}
    alone = {each["name"]: each["gain_minutes"] for each in journals}
    return {
        "planted_seconds": round(planted["seconds"], 2),
        "mended_seconds": round(mended["seconds"], 2),
        "measured_minutes": round(measured, 4),
        "first": said[0]["name"] if said else None,
        "told_minutes": gains.get(plant.cause),
        "told_without_profile": alone.get(plant.cause),
        "all": gains,
    }


def judged(plant: Plant, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, and whether the plant was named first with about the right gain."""
    measured = median(each["measured_minutes"] for each in rounds)
    told = median(each["told_minutes"] or 0.0 for each in rounds)
    named = all(each["first"] == plant.cause for each in rounds)
    off = abs(told / measured - 1) if measured else None
    return {
        "cause": plant.cause,
        "named_first": named,
        "measured_minutes": round(measured, 4),
        "told_minutes": round(told, 4),
        "off": None if off is None else round(off, 3),
        "passed": bool(named and off is not None and off <= WITHIN),
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description="Planted slowness, and what doctor says of it.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(PLANTS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--loops", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--sleeps", type=float, default=1.0, help="times as long as usual")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    from lexitrain import generate

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        data.mkdir()
        lines = "".join(each.to_json() + "\n" for each in generate(given.steps * SAMPLES, seed=5))
        (data / "train.jsonl").write_text(lines, encoding="utf-8")
        for title in given.only:
            plant = PLANTS[title]
            rounds: list[dict[str, Any]] = []
            for turn in range(given.rounds):
                folder = Path(name) / f"{plant.cause} {turn}"
                folder.mkdir()
                rounds.append(
                    once(
                        plant,
                        data,
                        folder,
                        threads=given.threads,
                        loops=given.loops,
                        factor=given.sleeps,
                    )
                )
            found[title] = judged(plant, rounds)
            shown = {key: each for key, each in found[title].items() if key != "rounds"}
            print(f"{title}: {json.dumps(shown)}", file=sys.stderr, flush=True)
    result = {
        "command": "python -m benchmarks.doctor",
        **circumstances(),
        "load_before": round(load, 2),
        "steps": given.steps,
        "threads": given.threads,
        "busy_loops": given.loops,
        "threads_wait": {name: os.environ.get(name) for name in _WAITING},
        "sleeps": given.sleeps,
        "within": WITHIN,
        "plants": found,
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
