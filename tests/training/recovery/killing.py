"""Train in child processes that are killed, and again until the run ends; started by `test_killing.py`.

The libraries are imported once, then each attempt is a fork, so that twenty kills cost seconds. A child is killed
either from outside, a random time after it got somewhere, or by itself at its n-th sync of a file: before, within and
after the writing of every file.

    python -m tests.training.recovery.killing RECIPE DATA FOLDER
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

# What `train` imports when it needs it, so that no child has to.
import peft  # noqa: F401
from transformers.models.qwen2 import modeling_qwen2, tokenization_qwen2  # noqa: F401

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.training import train

#: Syncs that a life needs to bring one more checkpoint: events, metrics, best adapter, checkpoint.
SYNCS_OF_A_CHECKPOINT = 20
LIVES_AT_MOST = 40


def attempt(recipe: str, data: Path, run: Path, before: Callable[[], None]) -> int:
    """Start a child that trains; returns its process id."""
    child = os.fork()
    if child == 0:
        try:
            before()
            train(load_recipe(recipe), data, run)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> bool:
    """Wait for a child. True: it finished; False: it was killed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        sys.exit(f"the run failed, exit code {os.WEXITSTATUS(status)}")
    return True


def killed_after(syncs: int) -> Callable[[], None]:
    """Lets a child kill itself at a sync of a file; half of the time before the sync is done."""

    def prepare() -> None:
        sync, left = os.fsync, syncs

        def counting(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                if syncs % 2:
                    sync(descriptor)
                os.kill(os.getpid(), signal.SIGKILL)
            sync(descriptor)

        os.fsync = counting

    return prepare


def wait_for_lines(file: Path, lines: int) -> None:
    """Wait until a journal has so many lines."""
    while not file.exists() or file.read_bytes().count(b"\n") < lines:
        time.sleep(0.001)


def main() -> None:
    recipe, data, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    ended(attempt(recipe, data, folder / "straight", lambda: None))

    chance = random.Random(5)
    kills = 0
    while True:
        child = attempt(recipe, data, folder / "random", lambda: None)
        if kills < 5:
            wait_for_lines(folder / "random" / "metrics.jsonl", 2 + 3 * kills)
            time.sleep(chance.uniform(0.0, 0.06))
            os.kill(child, signal.SIGKILL)
        if ended(child):
            break
        kills += 1
    sys.stdout.write(f"random: {kills} kills\n")

    for lives in range(LIVES_AT_MOST):
        syncs = SYNCS_OF_A_CHECKPOINT + lives * 5 % 17
        if ended(attempt(recipe, data, folder / "syncs", killed_after(syncs))):
            sys.stdout.write(f"syncs: {lives} kills\n")
            return
    sys.exit("the run did not end")


if __name__ == "__main__":
    main()
