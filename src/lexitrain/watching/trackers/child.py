"""The process that tells one tracker: `python -m lexitrain.watching.trackers.child`, started by `processes.py`.

It reads its settings as one line of JSON from standard input and follows the run's files until a line `end` comes, or
the process that started it is gone. What it says is JSON, a line each: where the tracker is, and what switched it off.
A tracker may hang, print, start processes and fail here, and training knows nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from lexitrain.errors import RunInUse
from lexitrain.runs import Run
from lexitrain.storage import Lock
from lexitrain.watching.trackers.places import tracker_folder
from lexitrain.watching.trackers.telling import Teller, Tracker

LOOK_SECONDS = 1.0
LOCK_SECONDS = 60.0
"""How long it waits for the process of an earlier call that still tells the same tracker."""
ALONE_SECONDS = 60.0
"""How long it may take to tell the rest after the run's process is gone."""
OPENINGS = 3
_DOING = ("telling this tracker of the run", "--run")

_SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "DO_NOT_TRACK": "1",
}
"""What the packages would send of their own about how they are used."""


class Ending:
    """How the run's process ends: `state` is set once it does."""

    def __init__(self) -> None:
        self.happened = threading.Event()
        self.state = "interrupted"
        self._parent = os.getppid()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch_parent, daemon=True).start()

    def _listen(self) -> None:
        words = sys.stdin.readline().split()
        if words[:1] == ["end"]:
            self.state = words[1]
        self._end()

    def _watch_parent(self) -> None:
        """A pipe may be kept open by another child of a killed process."""
        while os.getppid() == self._parent and not self.happened.wait(LOOK_SECONDS):
            pass
        self._end()

    def _end(self) -> None:
        if not self.happened.is_set():
            timer = threading.Timer(ALONE_SECONDS, end_all, (1,))
            timer.daemon = True
            timer.start()
            self.happened.set()


def end_all(code: int) -> None:
    """End this process and those that its tracker has started, without asking anybody."""
    with suppress(Exception):
        from psutil import Process

        for child in Process().children(recursive=True):
            child.kill()
    os._exit(code)


def key_of(run: Run) -> str | None:
    """Identifies the run wherever its folder lies: a hash of the first line of its events, which never changes."""
    try:
        with run.events_file.open("rb") as file:
            first = file.readline()
    except OSError:
        return None
    return hashlib.sha256(first).hexdigest()[:12] if first.endswith(b"\n") else None


def opened(kind: str, run: Run, key: str, place: str) -> Tracker:
    """The tracker of a kind, open for the run."""
    if kind == "tensorboard":
        from lexitrain.watching.trackers.tensorboard_files import TensorboardFiles as Kind
    elif kind == "trackio":
        from lexitrain.watching.trackers.trackio_project import TrackioProject as Kind
    elif kind == "wandb":
        from lexitrain.watching.trackers.wandb_run import WandbRun as Kind
    else:
        from lexitrain.watching.trackers.mlflow_run import MlflowRun as Kind
    return Kind(run, key, place)


def follow(kind: str, place: str, run: Run, ending: Ending, say: Any) -> None:
    """Tell a tracker what happens in a run until it ends."""
    while not (run.exists() and key_of(run)):
        if ending.happened.wait(LOOK_SECONDS / 5):
            return
    folder = tracker_folder(run, kind)
    folder.mkdir(parents=True, exist_ok=True)
    _print_to(folder / "log.txt")
    with _locked(folder):
        os.ftruncate(1, 0)  # not before: until now the file was the earlier process's
        tracker = _open(kind, run, key_of(run) or "", place)
        say(place=tracker.place)
        teller = Teller(run, tracker)
        seen: object = None
        while True:
            ended = ending.happened.is_set()
            now = _marks(run)
            if ended or now != seen:
                teller.catch_up(last=ended and ending.state == "finished")
                seen = now
            if ended:
                break
            ending.happened.wait(LOOK_SECONDS)
        tracker.finish(ending.state)
        say(done=True)


def _open(kind: str, run: Run, key: str, place: str) -> Tracker:
    for _ in range(OPENINGS - 1):
        # Two runs may make the tables of one database at the same moment.
        with suppress(Exception):
            return opened(kind, run, key, place)
        time.sleep(1)
    return opened(kind, run, key, place)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the folder's lock; an earlier call's process may hold it a moment longer."""
    until = time.monotonic() + LOCK_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(Lock(folder, doing=_DOING))
                break
            except RunInUse:
                if time.monotonic() > until:
                    raise
            time.sleep(0.5)
        yield


def _marks(run: Run) -> list[tuple[int, int]]:
    """Changes whenever one of the files that are told does."""
    found: list[tuple[int, int]] = []
    for path in (run.metrics_file, run.events_file, run.recipe_file, run.evaluation):
        try:
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((0, 0))
    return found


def _print_to(path: Path) -> None:
    """Let what packages print go to the end of a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def main() -> None:
    settings: dict[str, str] = json.loads(sys.stdin.readline())
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def say(**facts: Any) -> None:
        with suppress(OSError):  # nobody listens any more
            said.write(json.dumps(facts) + "\n")
            said.flush()

    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
    with suppress(OSError, AttributeError):
        os.nice(10)  # training comes first
    ending = Ending()
    try:
        follow(settings["kind"], settings["place"], Run(settings["run"]), ending, say)
    except BaseException as error:
        import traceback

        traceback.print_exc()
        text = " ".join(str(error).split())
        say(problem=f"{type(error).__name__}: {text[:300]}")
        end_all(1)
    end_all(0)


if __name__ == "__main__":
    main()
