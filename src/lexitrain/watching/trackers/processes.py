"""The processes that tell a run's trackers: started with the run, listened to after each step, ended with it.

None of this waits for a tracker while the run trains. At the end each gets some time for what is left, and is then
ended with all that it has started. What it could not tell is told by the next call: metrics.jsonl has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lexitrain.storage import is_held
from lexitrain.watching.trackers.places import places_of, tracker_folder

if TYPE_CHECKING:
    from pathlib import Path

    from lexitrain.runs import Run
    from lexitrain.watching.trackers.places import TrackerPlace

PATIENCE_SECONDS = 60.0
"""How long the end of a call waits for the trackers at most, all together."""
AFTER_ERROR_SECONDS = 10.0

_TRAINS = "the run is being trained, and its own process tells what its folder says"
_HELD = "another process is telling it of this run; what it lacks then is told by the next call"

TrackerNews = Mapping[str, str]
"""`tracker`, and either `place`, where it is, or `problem`, why it is switched off."""


@dataclass
class _Child:
    kind: str
    process: subprocess.Popen[bytes]
    rest: bytes = b""
    done: bool = False


class TrackerProcesses:
    """Tell trackers of a run. Enter it to start them.

    Args:
        run: that is told of; its folder may not be there yet.
        places: the trackers.
    """

    def __init__(self, run: Path, places: Sequence[TrackerPlace]) -> None:
        self._run = run
        self._places = list(places)
        self._children: list[_Child] = []
        self._news: list[TrackerNews] = []

    def __enter__(self) -> Self:
        for place in self._places:
            try:
                self._children.append(_start(place, self._run))
            except OSError as error:
                self._news.append(
                    {"tracker": place.kind, "problem": f"it cannot be started: {error}"}
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        patience = 0.0 if kind is KeyboardInterrupt else AFTER_ERROR_SECONDS
        self.finish("interrupted", patience)

    def news(self) -> list[TrackerNews]:
        """What the trackers' processes have said since the last call; waits for nothing."""
        for child in list(self._children):  # one that has ended leaves the list
            self._listen(child)
        found, self._news = self._news, []
        return found

    def finish(self, state: str, patience_seconds: float = PATIENCE_SECONDS) -> list[TrackerNews]:
        """End all processes, once they have told the rest.

        Args:
            state: `finished`, `stopped` or `interrupted`: what becomes of the run.
            patience_seconds: how long to wait for all of them together.
        """
        for child in self._children:
            with suppress(OSError):
                assert child.process.stdin is not None
                child.process.stdin.write(f"end {state}\n".encode())
                child.process.stdin.flush()
        until = time.monotonic() + patience_seconds
        try:
            while self._children and time.monotonic() < until:
                for child in list(self._children):
                    self._listen(child)
                time.sleep(0.02)
        finally:
            for child in self._children:
                _kill(child.process)
        for child in self._children:
            problem = (
                f"not all was told within {patience_seconds:.0f} s; the next call tells the rest"
            )
            self._news.append({"tracker": child.kind, "problem": problem})
        self._children = []
        return self.news()

    def _listen(self, child: _Child) -> None:
        ended = child.process.poll() is not None
        assert child.process.stdout is not None
        with suppress(BlockingIOError):
            while part := os.read(child.process.stdout.fileno(), 65_536):
                child.rest += part
        *lines, child.rest = child.rest.split(b"\n")
        for line in lines:
            said: dict[str, Any] = json.loads(line)
            child.done = child.done or "done" in said or "problem" in said
            self._news += [
                {"tracker": child.kind, name: str(said[name])}
                for name in ("place", "problem")
                if name in said
            ]
        if ended:
            if not child.done and child.process.returncode:
                code = child.process.returncode
                problem = f"its process ended with code {code}"
                self._news.append({"tracker": child.kind, "problem": problem})
            _close(child.process)
            self._children.remove(child)


def tell_trackers(run: Run, patience_seconds: float = PATIENCE_SECONDS) -> list[TrackerNews]:
    """Tell a run's trackers what its folder says now, such as the scores of an evaluation.

    A tracker takes one process at a time. Where the run trains, its own process tells them all, and this one would wait
    for it in vain.

    Args:
        run: that is told of.
        patience_seconds: how long to wait for all trackers together.

    Returns:
        What they said; of each one that another process holds, that it does.
    """
    from lexitrain.runs import summarize

    places = places_of(run.read_recipe())
    if run.is_locked():
        return [{"tracker": place.kind, "problem": _TRAINS} for place in places]
    held = [place for place in places if is_held(tracker_folder(run, place.kind))]
    state = summarize(run.path).state
    state = state if state in {"finished", "stopped"} else "interrupted"
    with TrackerProcesses(run.path, [each for each in places if each not in held]) as trackers:
        said = trackers.finish(state, patience_seconds)
    return [*said, *({"tracker": place.kind, "problem": _HELD} for place in held)]


def _start(place: TrackerPlace, run: Path) -> _Child:
    process = subprocess.Popen(
        [sys.executable, "-m", "lexitrain.watching.trackers.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl+C is for the run, which then ends this one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    settings = {"kind": place.kind, "place": place.place, "run": str(run.absolute())}
    process.stdin.write((json.dumps(settings) + "\n").encode())
    process.stdin.flush()
    return _Child(place.kind, process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started, which may be in sessions of their own."""
    from psutil import Error, Process

    with suppress(Error):
        for child in Process(process.pid).children(recursive=True):
            with suppress(Error):
                child.kill()
    with suppress(OSError):
        process.kill()
    process.wait()
    _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
