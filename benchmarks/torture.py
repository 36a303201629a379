"""One run, killed again and again: `python -m benchmarks.torture --kills 100`.

A nano run with a mirror is trained in processes that are killed (SIGKILL) at random moments: some from outside, a
random time after they started or got somewhere; some by themselves at a random sync of a file, in whichever thread that
happens, so that many die within the writing of a checkpoint or of the mirror. Now and then the run's own folder is
deleted too, and the run goes on from its mirror. After each kill the newest valid checkpoint, here or in the mirror,
must be at least the last one that was told. At the end adapter, metrics and mirror must be those of a run that nobody
disturbed, to the byte.

Each process is a fork of one that has imported everything, so that a life costs a second or two. A run that is killed
three times in the very same step takes that for the memory killer's work and climbs the memory ladder, which may change
the rounding; so no process dies in a step in which two have died before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

# What `train` imports when it needs it, so that no child has to.
import peft  # noqa: F401
from transformers.models.qwen2 import modeling_qwen2, tokenization_qwen2  # noqa: F401

from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.checkpoints import Checkpoints
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import MEASURED
from lexitrain.synthetic import generate
from lexitrain.training import train

RESULT = Path(__file__).parent / "results" / "torture.json"
EVERY = 3
DISK_LOST_EVERY = 5
#: Syncs of all threads in which a life brings a few more checkpoints.
SYNCS = (1, 70)


def recipe_for(kills: int) -> tuple[Recipe, int]:
    """The recipe, and how many records make the run long enough to be killed so often."""
    settings = [
        "lora.rank=4",
        "step.effective_batch=2",
        "schedule.epochs=1",
        f"checkpoints.every={EVERY}",
        "log_every=1",
        "validation.limit=4",
        "data.workers=1",
    ]
    return load_recipe("demo", settings), 2 * EVERY * (6 + 3 * kills // 2)


def write_data(folder: Path, records: int) -> Path:
    """A data folder of synthetic records."""
    folder.mkdir()
    lines = [each.to_json() + "\n" for each in generate(records + 8, seed=3)]
    (folder / "train.jsonl").write_text("".join(lines[8:]), encoding="utf-8")
    (folder / "validation.jsonl").write_text("".join(lines[:8]), encoding="utf-8")
    return folder


class Victim:
    """A child process that trains until it ends or is killed."""

    def __init__(self, work: Callable[[], Any], syncs: int | None) -> None:
        """Args: syncs: kills itself at its n-th sync of a file; even ones before the sync is done."""
        reading, writing = os.pipe()
        self._reading = reading
        self.process = os.fork()
        if self.process == 0:
            os.close(reading)
            _live(work, syncs, writing)
        os.close(writing)

    def kill(self) -> None:
        """Kill it from outside."""
        os.kill(self.process, signal.SIGKILL)

    def end(self) -> str | None:
        """Wait for it; None: it finished by itself; else where it died."""
        _, status = os.waitpid(self.process, 0)
        with os.fdopen(self._reading) as pipe:
            said = pipe.read()
        if os.WIFSIGNALED(status):
            return said or "from outside"
        if os.WEXITSTATUS(status):
            sys.exit(f"the run failed: {said}")
        return None


def _live(work: Callable[[], Any], syncs: int | None, writing: int) -> None:
    sync, left = os.fsync, syncs

    def counting(descriptor: int) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left <= 0:
                import threading

                if (syncs or 0) % 2:
                    sync(descriptor)
                name = threading.current_thread().name
                where = {"MainThread": "journals and adapter", "mirror": "mirroring"}
                os.write(writing, where.get(name, "writing a checkpoint").encode())
                os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)

    os.fsync = counting
    try:
        work()
    except BaseException as error:
        os.write(writing, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)


def newest(run: Run) -> int:
    """Step of the newest valid checkpoint."""
    found = Checkpoints(run.checkpoints, 2).newest_valid(lambda *_: None)
    return 0 if found is None else found.step


def told(run: Run) -> int:
    """Step of the newest checkpoint that an event tells of."""
    return max((each.step for each in run.events() if each.event == "checkpoint"), default=0)


def killed_twice_in(run: Run) -> int | None:
    """The step in which the last two processes were killed."""
    try:
        mark = json.loads((run.path / ".in-step").read_bytes())
    except (OSError, ValueError):
        return None
    return mark["step"] if mark["kills"] >= 1 else None


def wait_until(what: Callable[[], bool], process: int) -> None:
    """Wait for something, or for the end of the process."""
    while not what():
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.002)


def course(run: Run) -> list[dict[str, Any]]:
    """The metrics without what depends on the clock."""
    return [
        {name: getattr(line, name) for name in line.__slots__ if name not in MEASURED}
        for line in run.metrics()
    ]


def torture(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Train once undisturbed and once under kills; returns the figures. Exits when anything differs or is lost."""
    recipe, records = recipe_for(kills)
    data, chance, start = write_data(folder / "data", records), random.Random(seed), time.time()
    straight, run, drive = Run(folder / "straight"), Run(folder / "here" / "run"), folder / "drive"
    Victim(lambda: train(recipe, data, straight.path), None).end()
    straight_seconds = time.time() - start

    died: Counter[str] = Counter()
    disks_lost = lives = 0
    while True:
        lives += 1
        victim = _life(
            lambda: train(recipe, data, run.path, mirror=drive),
            run,
            chance,
            sum(died.values()) < kills,
        )
        where = victim.end()
        if where is None:
            break
        died[where] += 1
        if max(newest(run), newest(Run(drive / "run"))) < told(run):
            sys.exit(f"checkpoint {told(run)} was told and is lost")
        if sum(died.values()) % DISK_LOST_EVERY == 0 and newest(Run(drive / "run")):
            shutil.rmtree(run.path)
            disks_lost += 1
        print(f"\r{sum(died.values())} kills, step {newest(run)}", end="", flush=True)
    adapter = "adapter/adapter_model.safetensors"
    same = {
        "adapter": (run.path / adapter).read_bytes() == (straight.path / adapter).read_bytes(),
        "metrics": course(run) == course(straight),
        "mirror": (drive / "run" / adapter).read_bytes() == (run.path / adapter).read_bytes(),
    }
    rungs = sum(each.event == "rung" for each in run.events())
    result = {
        "kills": sum(died.values()),
        "lives": lives,
        "died": dict(sorted(died.items())),
        "disks_lost": disks_lost,
        "rungs_climbed": rungs,
        "steps": run.events()[-1].step,
        "checkpoints": len({each.step for each in run.events() if each.event == "checkpoint"}),
        "equal_to_the_undisturbed_run": same,
        "seconds": round(time.time() - start, 1),
        "seconds_undisturbed": round(straight_seconds, 1),
    }
    if result["kills"] < kills or not all(same.values()):
        sys.exit(f"\nnot as promised: {json.dumps(result, indent=2)}")
    return result


def _life(work: Callable[[], Any], run: Run, chance: random.Random, killing: bool) -> Victim:
    """Start a process and, from outside or by itself, see that it dies; not when the kills are done."""
    if not killing:
        return Victim(work, None)
    spared = killed_twice_in(run)
    if spared is None and chance.random() < 0.5:
        return Victim(work, chance.randint(*SYNCS))
    before = told(run) if run.path.exists() else 0
    victim = Victim(work, None)
    if spared is not None:
        wait_until(lambda: run.path.exists() and told(run) > spared, victim.process)
    elif chance.random() < 0.75:
        wait_until(lambda: run.path.exists() and told(run) > before, victim.process)
    time.sleep(chance.uniform(0.0, 0.5))
    victim.kill()
    return victim


def main() -> None:
    """Torture, print, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = torture(Path(folder), given.kills, given.seed)
    result = {
        "command": f"python -m benchmarks.torture --kills {given.kills} --seed {given.seed}",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU only",
        **figures,
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("\r" + json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
