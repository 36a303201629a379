"""A copy of the run in another folder, such as a mounted drive that outlives the machine.

The mirror is a run folder itself: recipe, data summary, environment, journals, the newest checkpoint, the best adapter,
and `adapter/` at the end. So a run whose own folder is gone goes on from it, bit for bit. A thread brings the mirror up
to date whenever something was written; it copies what is newest then, so that a slow drive leaves checkpoints out and
never keeps a step waiting. Each copy is made like a checkpoint (temporary name, synced, renamed), read back and
verified, journals before the checkpoint that needs them, the adapter before the journal that tells of it; old files are
emptied before they are deleted, because a drive's trash counts against its quota. A mirror that cannot be reached is
told and does not stop the run; it is tried again every half minute, and then catches up. What reading back cannot
prove: that a drive's own upload is finished. Costs a read of each checkpoint here, a write and a read there.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import InputError
from lexitrain.runs.folder import MANIFEST, Run
from lexitrain.storage.atomic import (
    append_to_journal,
    make_folder,
    remove_folder,
    sync_folder,
    whole_lines,
    write_file,
    write_synced,
)
from lexitrain.storage.lock import Lock
from lexitrain.training.recovery.checkpoint_writer import Outcome
from lexitrain.training.recovery.checkpoints import BrokenCheckpoint, Checkpoints, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

RETRY_SECONDS = 30.0
PATIENCE_SECONDS = 600.0


class Mirror:
    """The mirror of one run, in `folder/<run name>`.

    Args:
        run: what is mirrored.
        folder: the folder that `checkpoints.mirror` names; made at the first try, never again when it vanishes.
        keep: newest checkpoints to keep there; the best adapter is kept besides.
        retry_seconds: between two tries to reach a mirror that is gone.
        patience_seconds: how long `flush` waits for a drive that does not answer.
    """

    def __init__(
        self,
        run: Run,
        folder: Path,
        keep: int,
        *,
        retry_seconds: float = RETRY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.run = Run(folder / run.path.name)
        self._root = folder
        self._source = run
        self._here = Checkpoints(run.checkpoints, 1)
        self._there = Checkpoints(self.run.checkpoints, keep, truncate=True)
        self._retry_seconds = retry_seconds
        self._patience_seconds = patience_seconds
        self._lock: Lock | None = None
        self._own_disk: bool | None = None
        self._asked = self._served = 0
        self._ended = False
        self._problem: str | None = None
        self._outcomes: list[Outcome] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def start(self) -> None:
        """Start to follow the run; what is there already is copied at once."""
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Something was written: bring the mirror up to date, now or as soon as it is done with what it does."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until the mirror is as the run is now, or one try to make it so has failed."""
        with self._changed:
            self._asked += 1
            wanted = self._asked
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._served >= wanted, self._patience_seconds)
            if not done:
                problem = f"{self._root} has not answered for {self._patience_seconds:.0f} s"
                self._outcomes.append(Outcome("mirror", details={"problem": problem}))

    def stop(self) -> None:
        """Let the thread end; a copy at hand may be left unfinished, under a temporary name."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(timeout=1.0)
        if self._lock is not None and not self._thread.is_alive():
            self._lock.__exit__(None, None, None)
            self._lock = None

    def outcomes(self) -> list[Outcome]:
        """What has gone wrong or come right since the last call."""
        with self._changed:
            outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def copy(self) -> None:
        """Bring the mirror up to date.

        Raises:
            OSError: it cannot be written.
            BrokenCheckpoint: a copy does not read back as it was written.
            InputError: it holds another run, or another machine writes to it.
        """
        if not self._source.events_file.is_file():
            return  # the run has not begun
        self._reach()
        # Chosen first: the journals and the best then cover it.
        checkpoints = self._here.steps()[:1]
        metrics, events = _journal(self._source.metrics_file), _journal(self._source.events_file)
        for name in ("recipe.yaml", "data.json", "environment.json", "plan.json"):
            _copy_file(self._source.path / name, self.run.path / name)
        # Where the journal, read before, says that the run has finished, the adapter is there, and is there first.
        if self._source.adapter.is_dir():
            copy_folder(self._source.adapter, self.run.adapter)
        _write_journal(metrics, self.run.metrics_file)
        _write_journal(events, self.run.events_file)
        self._copy_checkpoints([*self._here.bests()[:1], *checkpoints])

    def _reach(self) -> None:
        """Make sure that the mirror is there and ours."""
        if self._own_disk is None:
            make_folder(self._root)
            self._own_disk = _disk(self._root) != _disk(self._source.path)
        # Where a drive was mounted, an empty folder of this machine may be left: nothing may be written there.
        elif not self._root.is_dir() or (
            self._own_disk and _disk(self._root) == _disk(self._source.path)
        ):
            raise OSError(f"{self._root} is gone")
        make_folder(self.run.path)
        require_same_run(self._source, self.run)
        if self._lock is None:
            lock = Lock(self.run.path)
            lock.__enter__()
            self._lock = lock
            self._there.remove_leftovers()

    def _copy_checkpoints(self, folders: Iterable[Path]) -> None:
        for here in folders:
            there = self._there.folder / here.name
            try:
                if (there / MANIFEST).read_bytes() == (here / MANIFEST).read_bytes():
                    continue
            except FileNotFoundError:
                pass
            try:
                content = read_checkpoint(here)
            except BrokenCheckpoint:
                if (here / MANIFEST).exists():
                    raise
                return  # rotated meanwhile: a newer one is on its way
            if here.name.startswith("best-"):
                copied = self._there.save_best(content.step, content.files, content.note)
            else:
                copied = self._there.save(content.step, content.files)
            try:
                read_checkpoint(copied)
            except BrokenCheckpoint:
                remove_folder(copied, truncate=True)  # or the next try would take it for a copy
                raise

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ended or self._asked > self._served,
                    self._retry_seconds if self._problem else None,
                )
                if self._ended:
                    return
                asked = self._asked
            problem = self._try()
            with self._changed:
                self._tell(problem)
                self._served = asked
                self._changed.notify_all()

    def _try(self) -> str | None:
        """One try to bring the mirror up to date; returns what went wrong."""
        try:
            self.copy()
        except OSError as error:
            return f"{self.run.path} cannot be written: {error.strerror or error}"
        except BrokenCheckpoint as error:
            return f"a copy in {self.run.path} does not read back: {error}"
        except InputError as error:
            return str(error)
        except Exception as error:
            return f"{self.run.path}: {type(error).__name__}: {error}"
        return None

    def _tell(self, problem: str | None) -> None:
        """Note a problem once, and that it is over."""
        if problem is not None and problem != self._problem:
            self._outcomes.append(Outcome("mirror", details={"problem": problem}))
        if problem is None and self._problem is not None:
            details = {"problem": None, "back": str(self.run.path)}
            self._outcomes.append(Outcome("mirror", details=details))
        self._problem = problem


def require_same_run(run: Run, mirror: Run) -> None:
    """Raises InputError when the mirror holds another run of this name: the first events differ."""
    ours, theirs = _first_event(run), _first_event(mirror)
    if ours and theirs and ours != theirs:
        raise InputError(
            "The mirror holds another run of this name.",
            where=mirror.path,
            fix="Give another --mirror folder or --run name, or --fresh to move both aside.",
        )


def _first_event(run: Run) -> bytes:
    try:
        first, end, _ = run.events_file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return b""
    return first if end else b""


def _copy_file(here: Path, there: Path) -> None:
    content = _content(here)
    if content is not None and content != _content(there):
        write_file(there, content)


def _journal(path: Path) -> bytes:
    """The journal's whole lines."""
    return b"".join(line + b"\n" for line in whole_lines(path))


def _write_journal(content: bytes, there: Path) -> None:
    """Append what is new; the whole journal where it does not go on from what is there."""
    before = _content(there)
    if not content or content == before:
        return
    if before and before.endswith(b"\n") and content.startswith(before):
        append_to_journal(there, content[len(before) :])
    else:
        write_file(there, content)


def copy_folder(here: Path, there: Path) -> None:
    """Copy a folder of files at once, unless it is there already."""
    contents = _contents(here)
    if there.is_dir() and _contents(there) == contents:
        return
    temporary = there.with_name(f".{there.name}.tmp-{os.getpid()}")
    if temporary.exists():
        remove_folder(temporary, truncate=True)
    make_folder(temporary)
    for name, content in contents.items():
        write_synced(temporary / name, content)
    sync_folder(temporary)
    if there.exists():
        remove_folder(there, truncate=True)
    temporary.rename(there)
    sync_folder(there.parent)


def _contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir()) if each.is_file()}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _disk(path: Path) -> int:
    return path.stat().st_dev
