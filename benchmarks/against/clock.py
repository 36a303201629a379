"""Times of a run's steps and the memory that it took, the same for both sides. Standard library only."""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any

BEGAN = "AGAINST_BEGAN"
"""Environment variable: when the process was started, by `time.time()`."""
WARM_UP = 10
"""Steps that the second figure leaves out on both sides: compilation, first launches, the allocator's growth."""


@dataclass
class StepClock:
    """When the steps of one run ended.

    Attributes:
        process: when the process was started.
        first: when the first step began.
        ends: when each step ended.
    """

    process: float = field(default_factory=lambda: float(os.environ.get(BEGAN, time.time())))
    first: float = 0.0
    ends: list[float] = field(default_factory=list[float])

    def before_steps(self) -> None:
        """The first step is about to begin; the last call before it counts."""
        if not self.ends:
            self.first = time.time()

    def step(self) -> None:
        """A step has ended."""
        self.ends.append(time.time())

    def figures(self, samples: int) -> dict[str, Any]:
        """Seconds: of all steps, of those after the warm-up, and of the process up to now.

        Args:
            samples: that the steps held together.
        """
        count = len(self.ends)
        left_out = min(WARM_UP, count // 2)
        steps = self.ends[-1] - self.first
        warm = self.ends[-1] - (self.ends[left_out - 1] if left_out else self.first)
        return {
            "steps": count,
            "seconds_of_process": round(time.time() - self.process, 2),
            "seconds_before_first_step": round(self.first - self.process, 2),
            "seconds_of_steps": round(steps, 2),
            "samples_per_second": round(samples / steps, 2),
            "warm_up_steps": left_out,
            "seconds_after_warm_up": round(warm, 2),
            "seconds_a_step_after_warm_up": round(warm / (count - left_out), 4),
        }


def memory(torch: Any) -> dict[str, float]:
    """Peaks of this process, 10^9 bytes: of torch's allocator on a GPU, and of what the process held in memory."""
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB elsewhere
    found = {"resident_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9}
    if torch.cuda.is_available():
        found["allocated_gb"] = torch.cuda.max_memory_allocated() / 1e9
        found["reserved_gb"] = torch.cuda.max_memory_reserved() / 1e9
    return {name: round(value, 3) for name, value in found.items()}
