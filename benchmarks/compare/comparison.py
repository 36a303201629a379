"""The coordinator: starts the workers, deals turns, and makes one document of what they report."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.compare import unsloth
from benchmarks.compare.competitors import COMPETITORS
from benchmarks.compare.work import Work

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Part:
    """How often and how long a competitor steps.

    Attributes:
        name: of the competitor.
        rounds: turns it gets.
        steps: optimizer steps of a turn.
        warm_up: untimed steps that come first; in the first of them its memory is measured. Without one its memory is
            measured in its first timed step, which is enough to see whether all of it runs.
    """

    name: str
    rounds: int
    steps: int
    warm_up: int = 1


@dataclass
class Worker:
    """A competitor's process.

    Attributes:
        name: of the competitor.
        work: what it does.
        patience: seconds after which an answer is no longer waited for; None: as long as it takes.
        warm_up: what it reported of its untimed steps.
        turns: what it reported of the timed ones.
        failed: why it has ended before its time.
        taken: steps so far.
    """

    name: str
    work: Work
    patience: float | None = None
    warm_up: dict[str, Any] = field(default_factory=dict[str, Any])
    turns: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failed: str | None = None
    taken: int = 0
    _ready: bool = False

    def __post_init__(self) -> None:
        # A file, not a pipe: trainers say much, and a full pipe would stop them.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed in stop)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.compare.worker", self.name),
                json.dumps(asdict(self.work)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=unsloth.environment() if COMPETITORS[self.name].kind == "unsloth" else None,
        )

    def turn(self, steps: int, *, memory: bool = False) -> dict[str, Any]:
        """Let it take some steps; `{}` if it has failed."""
        self.wait()
        self._tell({"steps": steps, "memory": memory})
        found = self._read()
        self.taken += steps
        self._ready = False
        return found

    def stop(self) -> None:
        """Let it end. One that has taken all steps of the work has ended by itself."""
        if not self._ended():
            self._tell({"steps": 0})
        self._process.communicate()
        self._said.close()

    def wait(self) -> None:
        """Until it says that it is ready for a turn."""
        if not self._ready:
            self._read()
            self._ready = True

    def _ended(self) -> bool:
        return self.failed is not None or self.taken >= self.work.steps

    def _tell(self, command: dict[str, Any]) -> None:
        if not self.failed:
            assert self._process.stdin is not None
            print(json.dumps(command), file=self._process.stdin, flush=True)

    def _read(self) -> dict[str, Any]:
        if self.failed:
            return {}
        assert self._process.stdout is not None
        late = threading.Timer(self.patience or threading.TIMEOUT_MAX, self._process.kill)
        late.daemon = True
        late.start()
        line = self._process.stdout.readline()
        in_time = late.is_alive()
        late.cancel()
        if line:
            return json.loads(line)
        self._process.communicate()
        if not in_time:
            self.failed = f"no answer within {self.patience:g} s"
            return {}
        self._said.seek(0)
        last = self._said.read().strip().rpartition("\n")[2]
        self.failed = last[:300] or f"exit {self._process.returncode}"
        return {}


class Comparison:
    """All competitors on the same work.

    Args:
        work: the work.
        parts: who steps how often, the yardstick first: ratios compare it with the others.
        resident: all processes at once, taking turns. False: one after another, where memory holds only one.
        patience: seconds that one answer of a process may take; None: any.
    """

    def __init__(
        self,
        work: Work,
        parts: Sequence[Part],
        *,
        resident: bool = True,
        patience: float | None = None,
    ) -> None:
        self.work, self.parts, self.resident = work, list(parts), resident
        self.patience = patience
        self.workers: list[Worker] = []

    def run(self) -> dict[str, Any]:
        """Deal all turns; the rows by competitor, and the yardstick's ratios over each of the others."""
        if self.resident:
            # Nothing is timed until the last of them has built its model, which takes one core, and warmed up.
            waiting = [Worker(part.name, self.work, self.patience) for part in self.parts]
            self.workers = [
                self.warmed(worker, part) for worker, part in zip(waiting, self.parts, strict=True)
            ]
            for number in range(max(part.rounds for part in self.parts)):
                for worker, part in zip(self.workers, self.parts, strict=True):
                    if number < part.rounds:
                        self.timed(worker, part)
            for worker in self.workers:
                worker.stop()
        else:
            for part in self.parts:
                worker = self.started(part)
                for _ in range(part.rounds):
                    self.timed(worker, part)
                worker.stop()
                self.workers.append(worker)
        rows = {worker.name: self._row(worker) for worker in self.workers}
        return {
            "work": self.work.described(),
            "competitors": rows,
            "ratios": ratios(rows),
            "losses": compared_losses(rows),
        }

    def started(self, part: Part) -> Worker:
        """A worker after its steps of warm-up, in the first of which its memory was measured."""
        return self.warmed(Worker(part.name, self.work, self.patience), part)

    def warmed(self, worker: Worker, part: Part) -> Worker:
        """The worker when it has built its model and taken its untimed steps, if it gets any."""
        worker.wait()
        if part.warm_up:
            worker.warm_up = worker.turn(1, memory=True)
        if part.warm_up > 1:
            further = worker.turn(part.warm_up - 1)
            worker.warm_up["steps"] = [*worker.warm_up.get("steps", []), *further.get("steps", [])]
        return worker

    def timed(self, worker: Worker, part: Part) -> None:
        """One timed turn."""
        first = not (part.warm_up or worker.turns)
        found = worker.turn(part.steps, memory=first)
        if found:
            worker.turns.append(found)

    def _row(self, worker: Worker) -> dict[str, Any]:
        what = COMPETITORS[worker.name].what
        if worker.failed or not worker.turns:
            return {"what": what, "failed": worker.failed or "no timed step"}
        steps = [step for turn in worker.turns for step in turn["steps"]]
        seconds = sum(turn["seconds"] for turn in worker.turns)
        a_turn = [
            round(sum(step["samples"] for step in turn["steps"]) / turn["seconds"], 3)
            for turn in worker.turns
        ]
        row = {
            "what": what,
            "samples_per_second": round(sum(s["samples"] for s in steps) / seconds, 3),
            "samples_per_second_by_turn": a_turn,
            "supervised_tokens_per_second": round(sum(s["supervised"] for s in steps) / seconds, 1),
            "step_seconds": round(seconds / len(steps), 3),
            "layout_tokens_per_step": round(fmean(step["tokens"] for step in steps), 1),
            "timed_steps": len(steps),
            "peak_activation_mb": round(
                (worker.warm_up or worker.turns[0])["peak_bytes"] / 2**20, 1
            ),
            "losses": [step["loss"] for step in [*worker.warm_up.get("steps", []), *steps]],
            "same_samples": COMPETITORS[worker.name].same_samples,
        }
        if "facts" in worker.turns[-1]:
            row["facts"] = worker.turns[-1]["facts"]
        # Padded to the full length, every step costs the same: one stands for all, and need not be matched.
        full = COMPETITORS[worker.name].padding == "max_length"
        if not full and all("seconds" in step for step in steps):
            first = len(worker.warm_up.get("steps", []))
            row["seconds_of_step"] = {
                str(number): round(step["seconds"], 3) for number, step in enumerate(steps, first)
            }
        for kind in ("allocated", "reserved"):
            found = [turn[f"{kind}_bytes"] for turn in worker.turns if f"{kind}_bytes" in turn]
            if found:
                row[f"peak_{kind}_gb"] = round(max(found) / 2**30, 3)
        return row


def ratios(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The first row, the yardstick, against each other one: samples a second with their spread, and memory.

    Where both were timed in steps of the same samples the ratio is of those steps, since steps differ in their tokens,
    and the spread is over them. Else it is of all their steps, and the spread is over turns dealt in the same round.
    """
    name, yardstick = next(iter(rows.items()))
    found: dict[str, Any] = {}
    for other, row in rows.items():
        if other == name or "failed" in row or "failed" in yardstick:
            continue
        ours, theirs = _seconds_of_same_steps(yardstick, row)
        if ours:
            speed = sum(theirs) / sum(ours)
            paired = [their / our for our, their in zip(ours, theirs, strict=True)]
        else:
            speed = yardstick["samples_per_second"] / row["samples_per_second"]
            turns = (each["samples_per_second_by_turn"] for each in (yardstick, row))
            paired = [our / their for our, their in zip(*turns, strict=False)]
        found[f"{name} / {other}"] = {
            "samples_per_second": round(speed, 2),
            "lowest": round(min(paired), 2),
            "highest": round(max(paired), 2),
            "same_steps": len(ours),
            "peak_activation": round(
                row["peak_activation_mb"] / yardstick["peak_activation_mb"], 2
            ),
        }
    return found


def _seconds_of_same_steps(
    one: dict[str, Any], other: dict[str, Any]
) -> tuple[list[float], list[float]]:
    """Of the steps in which both were timed on the same samples."""
    if not (one["same_samples"] and other["same_samples"]):
        return [], []
    ours, theirs = one.get("seconds_of_step", {}), other.get("seconds_of_step", {})
    same = [number for number in ours if number in theirs]
    return [ours[number] for number in same], [theirs[number] for number in same]


def compared_losses(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """For each two competitors of the same recipe whose steps hold the same samples: how far their losses differ."""
    found: dict[str, Any] = {}
    fair = [name for name, row in rows.items() if "failed" not in row and row["same_samples"]]
    for one, other in combinations(fair, 2):
        if COMPETITORS[one].recipe == COMPETITORS[other].recipe:
            pairs = list(zip(rows[one]["losses"], rows[other]["losses"], strict=False))
            found[f"{one} = {other}"] = {
                "steps": len(pairs),
                "largest_difference": max(abs(a - b) for a, b in pairs),
                "last": [round(loss, 6) for loss in pairs[-1]],
            }
    return found
