"""The worker's side of taking turns: it waits for a command, lets a few steps pass, reports, waits again.

A command is one JSON line: `{"steps": 5, "memory": false}`; `{"steps": 0}` ends the worker. The answer is one JSON line
too. The clock runs from the command to the end of the turn's last step, so that whatever a trainer does between two
steps of a turn counts. On a CPU each step's own time is said too, from the end of the one before; on a GPU that would
make it wait.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch

from benchmarks.compare.memory import Peak


@dataclass
class Turns:
    """Called by a trainer before and after every optimizer step.

    Attributes:
        facts: what else is to be told of this trainer; as it stands at the end of each turn.
    """

    commands: TextIO
    replies: TextIO
    device: str = "cpu"
    left: int = 0
    steps: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _start: float = 0.0
    _step_end: float = 0.0
    _peak: Peak | None = None
    _measured: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> bool:
        """Before a step: waits for a turn if this worker has none. False: there will be no more."""
        if self.left == 0:
            self._reply({"ready": True})
            command = json.loads(self.commands.readline() or '{"steps": 0}')
            if not command["steps"]:
                return False
            self.left = command["steps"]
            self.steps = []
            if command.get("memory"):
                self._peak = Peak(self.device)
                self._measured.enter_context(self._peak.measured())
            self._start = self._step_end = self._now()
        return True

    def end(self, *, loss: float, samples: int, supervised: int, tokens: int) -> None:
        """After a step: `loss` in nats a supervised token, `tokens` as the model computed them, padding included."""
        step = {"loss": loss, "samples": samples, "supervised": supervised, "tokens": tokens}
        if self.device == "cpu":
            now = self._now()
            step["seconds"], self._step_end = now - self._step_end, now
        self.steps.append(step)
        self.left -= 1
        if self.left == 0:
            report: dict[str, Any] = {"seconds": self._now() - self._start, "steps": self.steps}
            self._measured.close()
            if self.facts:
                report["facts"] = self.facts
            if self._peak is not None:
                report["peak_bytes"] = self._peak.bytes
                self._peak = None
            if self.device == "cuda":
                report["allocated_bytes"] = torch.cuda.max_memory_allocated()
                report["reserved_bytes"] = torch.cuda.max_memory_reserved()
            self._reply(report)

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _reply(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), file=self.replies, flush=True)
