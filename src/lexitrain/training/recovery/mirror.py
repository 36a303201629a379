"""A copy of the run in another folder, such as a mounted drive that outlives the machine.

The mirror is a run folder itself: recipe, data summary, environment, plan, journals, the newest checkpoint, the best
adapter, and `adapter/` at the end. So a run whose own folder is gone goes on from it, bit for bit.

Beside it, in `prepared-data/`, lies what the run is trained on (`inputs/kept_data.py`), and in it the files of the
user's own tasks, so that a new machine needs nothing but the mirror and the command.

A thread brings the mirror up to date whenever something was written. It copies what is newest at that moment: where the
drive is slow, checkpoints in between are never copied, and no training step waits. Each copy is made like a checkpoint
(temporary name, synced, renamed), then read back and verified. The order makes a crash in between harmless: journals
come before the checkpoint that needs them, the adapter before the journal that tells of it. Old files are emptied
before they are deleted, because a drive's trash counts against its quota.

A mirror that cannot be reached is reported and does not stop the run; it is tried again every half minute, and then
catches up. Reading back cannot prove one thing: that a drive has finished its own upload. Costs a read of each
checkpoint here, a write and a read there.
"""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from lexitrain.errors import InputError, RunError
from lexitrain.runs import (
    MANIFEST,
    BrokenCheckpoint,
    Checkpoints,
    Run,
    is_best,
    read_checkpoint,
    step_of,
)
from lexitrain.storage import (
    Lock,
    append_to_journal,
    make_folder,
    remove_folder,
    whole_lines,
    write_file,
    write_folder,
)
from lexitrain.training.event_log import Outcome
from lexitrain.training.inputs.kept_data import keep_data

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
        data: the folder of the run's data, of which a copy is kept; None: of none.
        retry_seconds: between two tries to reach a mirror that is gone.
        patience_seconds: how long `flush` waits for a drive that does not answer.
    """

    def __init__(
        self,
        run: Run,
        folder: Path,
        keep: int,
        *,
        data: Path | None = None,
        retry_seconds: float = RETRY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.run = Run(folder / run.path.name)
        self._root = folder
        self._source = run
        self._data = data
        self._kept: dict[str, dict[str, Any]] | None = None
        self._copying_since: float | None = None
        self._slowest = 0.0
        self._copied_step = 0
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

    def flush(self, patience_seconds: float | None = None) -> None:
        """Wait until the mirror is as the run is now, or one try to make it so has failed.

        Args:
            patience_seconds: how long to wait, where that is shorter than the mirror's own patience. What the mirror
                lacks then is told.
        """
        patience = min(self._patience_seconds, patience_seconds or self._patience_seconds)
        with self._changed:
            self._asked += 1
            wanted = self._asked
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._served >= wanted, patience)
        if not done:
            problem = f"{self._behind(patience)}. The next call of the same command catches up"
            with self._changed:
                self._outcomes.append(Outcome("mirror", details={"problem": problem}))

    def seconds(self) -> float:
        """How long until what is written now is there: the rest of the copy at hand, and one more copy.

        Each is judged by the slowest copy so far, the one at hand included.
        """
        since = self._copying_since
        if since is None:
            return self._slowest
        # One that takes longer than any before may take as long again, and so may the next.
        past = monotonic() - since
        return (self._slowest - past if past < self._slowest else past) + max(self._slowest, past)

    def stop(self) -> None:
        """Let the thread end; a copy at hand may be left unfinished, under a temporary name."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._release()

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
            RunError: it holds another run, or another machine writes to it.
        """
        if not self._source.events_file.is_file():
            return  # the run has not begun
        self._reach()
        # The run goes on meanwhile, so the order matters. The checkpoint is chosen first: the journals, read after it,
        # hold all that led to it, and the best adapter, looked up last, is no older than the one it remembers.
        checkpoints = self._here.steps()[:1]
        metrics, events = _journal(self._source.metrics_file), _journal(self._source.events_file)
        here, there = self._source, self.run
        _copy_file(here.recipe_file, there.recipe_file)
        _copy_file(here.data_file, there.data_file)
        _copy_file(here.environment_file, there.environment_file)
        _copy_file(here.plan_file, there.plan_file)
        if here.tasks.is_dir():
            copy_folder(here.tasks, there.tasks)
        # The run writes its adapter before the event `finished`. Copied after the journal was read and before the
        # journal is written, it is in the mirror whenever the mirror's journal says that the run has finished.
        if here.adapter.is_dir():
            copy_folder(here.adapter, there.adapter)
        _write_journal(metrics, there.metrics_file)
        _write_journal(events, there.events_file)
        self._copy_checkpoints([*self._here.bests()[:1], *checkpoints])

    def _keep_data(self) -> None:
        if self._data is None or not self._source.data_file.is_file():
            return
        files = self._source.read_data().files
        if files != self._kept:
            keep_data(self._data, files, self._root)
            self._kept = files

    def _behind(self, seconds: float) -> str:
        """What the mirror lacks. The drive is not asked, because it may not answer."""
        newest = self._source.checkpoint_steps()[-1:]
        held = f"step {self._copied_step}" if self._copied_step else "no checkpoint"
        return (
            f"{self._root} is behind after {seconds:.0f} s of waiting: it is known to hold {held}, the run's folder "
            "holds " + (f"step {newest[0]}" if newest else "no checkpoint")
        )

    def _reach(self) -> None:
        """Make sure that the mirror is there and ours."""
        if self._own_disk is None:
            make_folder(self._root)
            self._own_disk = _disk(self._root) != _disk(self._source.path)
        # A drive that was unmounted may leave an empty folder on this machine's own disk. Nothing may be written there:
        # it would hide below the drive when that is back.
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
                    self._note(here)
                    continue
            except FileNotFoundError:
                pass
            try:
                content = read_checkpoint(here)
            except BrokenCheckpoint:
                if (here / MANIFEST).exists():
                    raise
                return  # deleted meanwhile, because a newer one was written: that one wakes this thread again
            if is_best(here):
                copied = self._there.save_best(content.step, content.files, content.note)
            else:
                copied = self._there.save(content.step, content.files)
            try:
                read_checkpoint(copied)
            except BrokenCheckpoint:
                # Else the next try, which compares manifests only, would take it for a sound copy.
                remove_folder(copied, truncate=True)
                raise
            self._note(here)

    def _note(self, copied: Path) -> None:
        if not is_best(copied):
            self._copied_step = step_of(copied)

    def _work(self) -> None:
        try:
            self._follow()
        finally:
            with self._changed:
                if self._ended:
                    self._release()  # `stop` has not waited for a slow copy

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None

    def _follow(self) -> None:
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
        self._copying_since = monotonic()
        try:
            self.copy()
            # The data come after the checkpoint, and once: their time is no measure of the next copy's.
            self._slowest = max(self._slowest, monotonic() - self._copying_since)
            self._copying_since = None
            self._keep_data()
        except OSError as error:
            return f"{self.run.path} cannot be written: {error.strerror or error}"
        except BrokenCheckpoint as error:
            return f"a copy in {self.run.path} does not read back: {error}"
        except InputError as error:
            return str(error)
        except Exception as error:
            return f"{self.run.path}: {type(error).__name__}: {error}"
        finally:
            self._copying_since = None
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
    """Raises RunError when the mirror holds another run of this name: the first events differ."""
    ours, theirs = _first_event(run), _first_event(mirror)
    if ours and theirs and ours != theirs:
        raise RunError(
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
    write_folder(there, contents, truncate=True)


def _contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir()) if each.is_file()}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _disk(path: Path) -> int:
    return path.stat().st_dev
