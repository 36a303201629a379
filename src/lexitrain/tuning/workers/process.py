"""The process of one worker: `python -m lexitrain.tuning.workers.process`, started by `processes.py` alone."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from lexitrain.errors import LexiTrainError, Stopped
from lexitrain.tuning.workers.job import Job
from lexitrain.tuning.workers.processes import told_of
from lexitrain.tuning.workers.worker import stopped, work

if TYPE_CHECKING:
    from lexitrain.tuning.result import TuningResult

_SECONDS_BETWEEN_STEPS = 2.0


class _Telling:
    """Says to the parent what happens, as lines of JSON."""

    def __init__(self, out: Any) -> None:
        self._out, self._last = out, 0.0

    def tell(self, **content: Any) -> None:
        """One line. A parent that is gone hears nothing; `_follow_parent` ends this process then."""
        try:
            self._out.write(json.dumps(content) + "\n")
            self._out.flush()
        except OSError:
            pass

    def priced(self, planned: TuningResult) -> None:
        """The parent knows."""

    def say(self, text: str) -> None:
        """Something happened."""
        self.tell(say=text)

    def step(self, trial: str, step: int, total_steps: int) -> None:
        """A trial has done a step; told now and then."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_STEPS:
            self._last = time.monotonic()
            self.tell(trial=trial, step=step, of=total_steps)


def main() -> int:
    """Read the job, do it, and say how it ended; returns the exit code."""
    telling = _Telling(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # what a library prints is no word to the parent
    signal.signal(signal.SIGTERM, _interrupt)
    job = Job.from_json(json.loads(sys.stdin.readline()))
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    try:
        telling.tell(ending=work(job, telling))
    except LexiTrainError as error:
        telling.tell(**told_of(error))
        return error.exit_code
    except KeyboardInterrupt:
        telling.tell(**told_of(stopped(job)))
        return Stopped.exit_code
    except Exception:
        telling.tell(crash=traceback.format_exc())
        return 1
    return 0


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _follow_parent() -> None:
    """Stop, saved, when the parent is gone: it holds the other end of standard input."""
    while sys.stdin.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
