"""Training beside other work, and without it: `python -m benchmarks.busy_machine`.

The product sets GOMP_SPINCOUNT before torch is imported (`lexitrain/__init__.py`); where torch was imported before, it
sets nothing. So the same short nano run is trained in processes that import one or the other first, in turns, once with
as many busy loops beside it as there are cores, and once without any. The speed is that of the last 50 steps of each;
a ratio is of the medians over the rounds. Other work on the machine disturbs both: the result keeps the load from
before.

Three rounds are twelve processes and take five to six minutes; `--rounds 1 --seconds 5` tries it in one or two.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

RESULT = Path(__file__).parent / "results" / "busy_machine.json"
SAMPLES = 24
STEPS = 400
LIMITS = {"busy": 1.4, "idle": 0.98}
"""Least tokens a second with the setting, over those without."""
FIRST = {"before": "torch", "now": "lexitrain"}
"""Which of the two a process imports first; `before` leaves OpenMP as it is."""
_NOT_PASSED_ON = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "OMP_NUM_THREADS")


def trained(data: Path, seconds: float) -> dict[str, Any]:
    """Train in this process, so long after the first step at least."""
    from lexitrain import Progress, Silent, load_recipe, train

    class UntilThen(Silent):
        """Keeps what was told of the last step, and stops the run as a user would."""

        first: float | None = None
        last: Progress | None = None

        def progress(self, progress: Progress) -> None:
            self.last = progress
            self.first = self.first or perf_counter()
            if perf_counter() - self.first >= seconds:
                os.kill(os.getpid(), signal.SIGTERM)

    told = UntilThen()
    settings = [f"step.effective_batch={SAMPLES}", "schedule.epochs=1", "checkpoints.every=10000"]
    with tempfile.TemporaryDirectory() as folder:
        train(load_recipe("demo", settings), data, Path(folder) / "run", observer=told)
    assert told.last is not None
    return {
        "tokens_per_second": told.last.tokens_per_second,
        "steps": told.last.step,
        "spin_count": os.environ.get("GOMP_SPINCOUNT"),
    }


@contextmanager
def busy_loops(count: int) -> Generator[None]:
    """So many processes that do nothing but keep a core busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measured(first: str, data: Path, seconds: float) -> dict[str, Any]:
    """`trained` in a new process that imports `first` before anything else."""
    code = f"import {first}, sys; from benchmarks.busy_machine import worker; worker(sys.argv)"
    environment = {name: text for name, text in os.environ.items() if name not in _NOT_PASSED_ON}
    done = subprocess.run(
        [sys.executable, "-c", code, str(data), str(seconds)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def worker(arguments: list[str]) -> None:
    """What such a process does."""
    print(json.dumps(trained(Path(arguments[1]), float(arguments[2]))))


def rounds_of(count: int, seconds: float, loops: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All measurements: `busy` and `idle`, each `before` and `now`, in turns."""
    from lexitrain import generate

    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        state: {name: [] for name in FIRST} for state in LIMITS
    }
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        lines = "".join(each.to_json() + "\n" for each in generate(STEPS * SAMPLES, seed=5))
        (data / "train.jsonl").write_text(lines, encoding="utf-8")
        measured("lexitrain", data, 0.0)  # the plan is made once and kept
        for turn in range(count):
            for state in LIMITS:
                # Each goes first as often as the other.
                for name in list(FIRST)[:: 1 if turn % 2 == 0 else -1]:
                    with busy_loops(loops if state == "busy" else 0):
                        result = measured(FIRST[name], data, seconds)
                    found[state][name].append(result)
                    print(
                        f"{state}, {name}: {result['tokens_per_second']:,.0f} tokens/s",
                        file=sys.stderr,
                    )
    return found


def figures(found: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """Medians and their ratios."""
    table: dict[str, Any] = {}
    for state, by_name in found.items():
        speeds = {
            name: median(each["tokens_per_second"] for each in results)
            for name, results in by_name.items()
        }
        table[state] = {
            "tokens_per_second": {name: round(speed) for name, speed in speeds.items()},
            "now / before": round(speeds["now"] / speeds["before"], 3),
            "limit": LIMITS[state],
            "rounds": by_name,
        }
    return table


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description="Training beside busy loops, and without them.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="each trains after its first step"
    )
    parser.add_argument("--loops", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    table = figures(rounds_of(given.rounds, given.seconds, given.loops))
    from benchmarks.workload import circumstances

    result = {
        "command": "python -m benchmarks.busy_machine",
        **circumstances(),
        "load_before": round(load, 2),
        "busy_loops": given.loops,
        **table,
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for state, least in LIMITS.items():
        print(f"{state}: {table[state]['now / before']} (at least {least})")


if __name__ == "__main__":
    main()
