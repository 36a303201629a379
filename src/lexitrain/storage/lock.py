"""One process at a time: the lock of a folder, which a dead process does not hold.

The file `.lock` is locked by the system where it can (`flock`): such a lock ends with its process. Some mounted drives
have no locks, and a drive that two machines have mounted knows nothing of the other machine's. So the file also says
who holds it (machine, process) and is renewed every 30 seconds. A process of this machine is looked up. One of another
machine cannot be: there the last renewal counts, and two minutes after it the lock is free.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any, Self

from lexitrain.errors import RunInUse
from lexitrain.storage.process_identity import boot_id, is_running, process_start

BEAT_SECONDS = 30.0
STALE_SECONDS = 120.0
_OPENINGS = 20
_LENGTH = 256
"""Bytes of a sign of life, spaces behind it: were one shorter than the one before, whoever reads before the rest is cut
off would find no holder."""
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Lock:
    """The lock of `folder`, held while entered.

    Args:
        folder: must exist.
        system: lock by the system too; False where that is known not to work.
        doing: what the holder does, and the option that names the folder: for who is refused.
    """

    def __init__(
        self,
        folder: Path,
        *,
        system: bool = True,
        doing: tuple[str, str] = ("training this run", "--run"),
    ) -> None:
        self.path = folder / ".lock"
        self._doing = doing
        self._system = system
        self._descriptor: int | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Raises RunInUse when another process holds it, OSError when the folder cannot be written."""
        descriptor, locked = self._opened()
        try:
            holder = _read(self.path)
            # The system's lock, once given, proves that no process of this machine holds it, whatever the file says. It
            # says nothing of other machines.
            if locked is False or (_lives(holder) and not (locked and _is_here(holder))):
                raise _refusal(self.path.parent, holder, *self._doing)
            self._descriptor = descriptor
            _renew(self.path)
        except BaseException:
            os.close(descriptor)
            raise
        self._ended.clear()
        threading.Thread(target=self._beat, name="lock", daemon=True).start()
        return self

    def _opened(self) -> tuple[int, bool | None]:
        """The file, and whether the system gave us its lock.

        A holder may delete the file before it lets go. Whoever has opened it before that gets the lock of a file that
        is nowhere any more, while the next one locks a new one. So it is opened again until it is what is there.
        """
        descriptor, locked = self._open()
        for _ in range(_OPENINGS):  # a mount may give its files no lasting numbers
            if locked is not True or _is_there(descriptor, self.path):
                break
            os.close(descriptor)
            descriptor, locked = self._open()
        return descriptor, locked

    def _open(self) -> tuple[int, bool | None]:
        descriptor = os.open(self.path, _FLAGS, 0o666)
        return descriptor, _try_lock(descriptor) if self._system else None

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._descriptor is not None:
            if _is_there(self._descriptor, self.path):  # else it is the file of who came after
                _write(self.path, b"")
            os.close(self._descriptor)
            self._descriptor = None

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            _renew(self.path)


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def is_held(folder: Path) -> bool:
    """True while some process holds the folder's lock. Asking takes no lock and changes nothing."""
    return _lives(_read(folder / ".lock"))


def is_held_here(folder: Path) -> bool:
    """True while a process of this machine holds the folder's lock."""
    holder = _read(folder / ".lock")
    return _lives(holder) and _is_here(holder)


def _renew(path: Path) -> None:
    holder = json.dumps({**_here(), "pid": os.getpid(), "time": time.time()})
    _write(path, holder.ljust(_LENGTH).encode())


def _write(path: Path, content: bytes) -> None:
    """Overwrite the file in place: to the system it stays the locked one. A mount that is gone may come back."""
    try:
        with path.open("r+b", buffering=0) as file:
            file.write(content)
            file.truncate(len(content))
    except OSError:
        pass


def _read(path: Path) -> dict[str, Any]:
    """Who holds the lock; empty when nobody says so."""
    try:
        holder: Any = json.loads(path.read_bytes())
        return holder if isinstance(holder["time"] + holder["pid"], int | float) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _here() -> dict[str, Any]:
    """This machine since its start, and this process beyond its reusable number."""
    return {
        "machine": f"{platform.node()} {boot_id() or ''}",
        "born": process_start(os.getpid()),
    }


def _is_here(holder: dict[str, Any]) -> bool:
    return holder.get("machine") == _here()["machine"]


def _lives(holder: dict[str, Any]) -> bool:
    if not holder:
        return False
    if not _is_here(holder):
        return abs(time.time() - holder["time"]) < STALE_SECONDS
    process = holder["pid"]
    if not isinstance(process, int) or not is_running(process):
        return False
    return holder.get("born") == process_start(process)


def _refusal(folder: Path, holder: dict[str, Any], doing: str, option: str) -> RunInUse:
    if holder and not _is_here(holder):
        quiet = max(0.0, time.time() - holder["time"])
        return RunInUse(
            f"Another machine is {doing} (last sign of life {quiet:.0f} s ago).",
            where=folder,
            fix=f"If that machine is gone, try again in {max(1.0, STALE_SECONDS - quiet):.0f} s; "
            f"else stop it, or give another {option} folder.",
        )
    return RunInUse(
        f"Another process is {doing}.",
        where=folder,
        fix=f"Wait for it, stop it, or give another {option} folder.",
    )


def _try_lock(descriptor: int) -> bool | None:
    """Whether the system gave us the lock; None when it has no locks here."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True
