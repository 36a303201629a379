"""Several workers on one machine: processes that share its cores or its GPUs, watched by the one that started them.

A worker is `python -m lexitrain.tuning.workers.process`. It reads its job from standard input, so that no password
stands in a list of processes, and writes lines of JSON. Its standard input stays open as long as its parent lives: a
worker whose parent is gone stops as by SIGTERM. Workers have a session of their own, so that Ctrl+C in a terminal
reaches the parent alone, which then asks them to stop; a second signal would make a run stop without saving.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lexitrain.errors import LexiTrainError
from lexitrain.planning import threads
from lexitrain.tuning.workers.worker import Ending, stopped

if TYPE_CHECKING:
    from lexitrain.tuning.workers.job import Job
    from lexitrain.tuning.workers.worker import TuningObserver

_MOST_RESTARTS = 20
"""Workers that are started in place of killed ones. What kills a unit five times is that unit's failure."""


class _Worker:
    """One process, and what it says."""

    def __init__(
        self, number: int, job: Job, said: queue.Queue[tuple[_Worker, dict[str, Any] | None]]
    ) -> None:
        self.number = number
        self.last: dict[str, Any] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lexitrain.tuning.workers.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(number, job.workers),
            start_new_session=True,
        )
        self._said = said
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job.to_json()) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is noticed where its words are read
        threading.Thread(target=self._listen, name=f"worker-{number}", daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                told = json.loads(line)
            except ValueError:
                continue  # a library that prints
            if isinstance(told, dict):
                self._said.put((self, told))
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what was not written to a process that is gone
                if pipe is not None:
                    pipe.close()
        self._said.put((self, None))

    def ask_to_stop(self) -> None:
        """Let it save and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)


class Workers:
    """The workers of a job on this machine."""

    def __init__(self, job: Job, observer: TuningObserver) -> None:
        self._job, self._observer = job, observer
        self._said: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self._alive: list[_Worker] = []
        self._restarts = 0
        self._endings: list[Ending] = []

    def run(self) -> Ending:
        """Start them and wait for all of them.

        Raises:
            Stopped: by a signal, or as one of them was.
            InputError: as one of them says.
            RuntimeError: something unexpected happened in one of them.
        """
        try:
            for number in range(self._job.workers):
                self._alive.append(_Worker(number, self._job, self._said))
            while self._alive:
                self._hear(*self._said.get())
        except BaseException as error:
            self._stop_all()
            if isinstance(error, KeyboardInterrupt):
                raise stopped(self._job) from None
            raise
        return "budget" if "budget" in self._endings else "complete"

    def _hear(self, worker: _Worker, told: dict[str, Any] | None) -> None:
        if told is None:
            self._ended(worker)
        elif "say" in told:
            self._observer.say(f"worker {worker.number + 1}: {told['say']}")
        elif "step" in told:
            self._observer.step(told["trial"], told["step"], told["of"])
        else:
            worker.last = told

    def _ended(self, worker: _Worker) -> None:
        self._alive.remove(worker)
        last, code = worker.last, worker.process.returncode
        if "ending" in last:
            self._endings.append(last["ending"])
        elif "error" in last:
            raise error_of(last)
        elif "crash" in last:
            raise RuntimeError(f"A worker met something unexpected:\n{last['crash']}")
        elif self._restarts >= _MOST_RESTARTS:
            raise stopped(
                self._job, f"the end of {_MOST_RESTARTS} workers, the last one {_how(code)}"
            )
        else:
            self._restarts += 1
            self._observer.say(
                f"worker {worker.number + 1} was {_how(code)}: another one is started, and its trial taken up again"
            )
            self._alive.append(_Worker(worker.number, self._job, self._said))

    def _stop_all(self) -> None:
        for each in self._alive:
            each.ask_to_stop()
        for each in self._alive:
            each.process.wait()


def _how(code: int) -> str:
    return f"killed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"


def told_of(error: LexiTrainError) -> dict[str, Any]:
    """An error as a worker tells it; a room's own kind as the public kind that it is one of."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == "lexitrain.errors")
    return {"error": kind.__name__, "what": error.what, "where": error.where, "fix": error.fix}


def error_of(told: Mapping[str, Any]) -> LexiTrainError:
    """The error that a worker told of."""
    kind = getattr(import_module("lexitrain.errors"), told["error"], LexiTrainError)
    error = LexiTrainError(told["what"], where=told["where"], fix=told["fix"])
    if isinstance(kind, type) and issubclass(kind, LexiTrainError):
        error.__class__ = kind  # each kind has a constructor of its own, and the same content
    return error


def _environment(number: int, workers: int) -> dict[str, str]:
    """The cores shared between the workers; with several GPUs, one for each, in turn."""
    own = dict(os.environ)
    own.setdefault("OMP_NUM_THREADS", str(max(1, threads() // workers)))
    gpus = _gpus()
    if len(gpus) > 1:
        own["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return own


def _gpus() -> list[str]:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [each.strip() for each in given.split(",") if each.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
