"""A run in a process of its own, so that it can be killed: DATA RUN KILL_AT BASE TRACKER..."""

from __future__ import annotations

import os
import signal
import sys

from lexitrain.recipe import load_recipe
from lexitrain.training import Progress, Silent, train

SETTINGS = (
    "lora.rank=4", "data.workers=0", "step.effective_batch=5", "schedule.epochs=3", "checkpoints.every=5",
    "log_every=2",
)  # fmt: skip


class KilledAt(Silent):
    """Kills the process after a step; 0: after none. Leaves the trackers some time to be told."""

    def __init__(self, step: int) -> None:
        self._step = step

    def progress(self, progress: Progress) -> None:
        if progress.step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    data, run, kill_at, base, *trackers = sys.argv[1:]
    recipe = load_recipe("demo", [f"model.base={base}", *SETTINGS])
    train(recipe, data, run, trackers=trackers, observer=KilledAt(int(kill_at)))


if __name__ == "__main__":
    main()
