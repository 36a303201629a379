"""A disk that loses what was not synced: records the file operations of real code, and makes the states that a power
cut after any of them could leave.

While a `Recorder` is entered, the operations that `os` makes below a folder are noted and made. What a cut leaves
follows the weakest promise that file systems give: a file's bytes are safe once the file is synced, a name once its
folder is, and everything else may be there, missing or torn, whatever came before or after. The operations that are
not seen are those of `open()`: of the lock, whose content means nothing after a cut.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: (kind, node, ...): create and mkdir (folder, name, new node); unlink and rmdir (folder, name); rename (folder, name,
#: new name, node); write (node, bytes); truncate (node, length); sync (node).
Operation = tuple[Any, ...]


class Recorder:
    """Notes what is done below `root`, which must be an empty folder, in the order in which it is done."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.operations: list[Operation] = []
        self._nodes = {str(root): 0}
        self._descriptors: dict[int, int] = {}
        self._lock = threading.RLock()
        notes: dict[str, Callable[..., None]] = {
            "open": self._opened,
            "close": self._closed,
            "write": self._written,
            "fsync": self._synced,
            "ftruncate": lambda _, descriptor, length: self._cut(descriptor, length),
            "truncate": self._truncated,
            "rename": self._renamed,
            "replace": self._renamed,
            "unlink": lambda _, path: self._removed("unlink", path),
            "rmdir": lambda _, path: self._removed("rmdir", path),
            "mkdir": lambda _, path, *_mode: self._added("mkdir", path),
        }
        for name, note in notes.items():
            patch.setattr(os, name, self._noting(getattr(os, name), note))

    def _noting(self, real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def both(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                result = real(*args, **kwargs)
                if not kwargs.get("dir_fd"):
                    note(result, *args)
            return result

        return both

    def _place(self, path: Any) -> tuple[int | None, str, str]:
        """The folder's node, the name in it, the whole path."""
        whole = str(Path(path).absolute())
        folder, _, name = whole.rpartition("/")
        return self._nodes.get(folder), name, whole

    def _added(self, kind: str, path: Any) -> int | None:
        folder, name, whole = self._place(path)
        if folder is None:
            return None
        node = self._nodes[whole] = len(self.operations) + 1
        self.operations.append((kind, folder, name, node))
        return node

    def _removed(self, kind: str, path: Any) -> None:
        folder, name, whole = self._place(path)
        if self._nodes.pop(whole, None) is not None:
            self.operations.append((kind, folder, name))

    def _renamed(self, _: None, path: Any, target: Any) -> None:
        folder, name, whole = self._place(path)
        other, new_name, new_whole = self._place(target)
        if whole not in self._nodes:
            return
        assert folder == other, "a rename into another folder is two promises at once"
        self.operations.append(("rename", folder, name, new_name, self._nodes[whole]))
        moved = {
            new_whole + each[len(whole) :]: self._nodes.pop(each)
            for each in list(self._nodes)
            if each == whole or each.startswith(f"{whole}/")
        }
        self._nodes.update(moved)

    def _opened(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        self._descriptors.pop(descriptor, None)
        node = self._nodes.get(self._place(path)[2])
        if node is None and flags & os.O_CREAT:
            node = self._added("create", path)
        elif node is not None and flags & os.O_TRUNC:
            self.operations.append(("truncate", node, 0))
        if node is not None:
            self._descriptors[descriptor] = node

    def _closed(self, _: None, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)

    def _written(self, written: int, descriptor: int, content: Any) -> None:
        if descriptor in self._descriptors:
            operation = ("write", self._descriptors[descriptor], bytes(content[:written]))
            self.operations.append(operation)

    def _synced(self, _: None, descriptor: int) -> None:
        if descriptor in self._descriptors:
            self.operations.append(("sync", self._descriptors[descriptor]))

    def _cut(self, descriptor: int, length: int) -> None:
        if descriptor in self._descriptors:
            self.operations.append(("truncate", self._descriptors[descriptor], length))

    def _truncated(self, _: None, path: Any, length: int) -> None:
        node = self._nodes.get(self._place(path)[2])
        if node is not None:
            self.operations.append(("truncate", node, length))


@dataclass
class File:
    """A file: what is safe, and what a reader sees now."""

    safe: bytes = b""
    now: bytes = b""


@dataclass
class Folder:
    """A folder: the names that are safe, and the changes since."""

    safe: dict[str, int] = field(default_factory=dict[str, int])
    changes: list[Operation] = field(default_factory=list[Operation])


#: A state of the disk: path -> content, None for a folder.
State = dict[str, bytes | None]


class Disk:
    """What is safe and what is not after a number of operations."""

    def __init__(self) -> None:
        self._nodes: dict[int, File | Folder] = {0: Folder()}

    def apply(self, operation: Operation) -> None:
        """Do one more operation."""
        kind, number, *rest = operation
        node = self._nodes[number]
        if kind in {"create", "mkdir"}:
            self._nodes[rest[1]] = File() if kind == "create" else Folder()
        if isinstance(node, Folder):
            if kind == "sync":
                node.safe, node.changes = _changed(node.safe, node.changes), []
            else:
                node.changes.append(operation)
        elif kind == "sync":
            node.safe = node.now
        elif kind == "write":
            node.now += rest[0]
        else:
            node.now = node.now[: rest[0]]

    def states(self, chance: random.Random) -> Iterator[State]:
        """What a power cut may leave: nothing that was not safe, all of it, and mixtures."""
        none, every = (lambda _: []), (lambda changes: changes)
        last, others = (lambda changes: changes[-1:]), (lambda changes: changes[:-1])
        half = lambda changes: [each for each in changes if chance.random() < 0.5]  # noqa: E731
        safe, now = (lambda file: file.safe), (lambda file: file.now)
        for names, content in (
            *((none, safe), (every, now), (every, safe), (every, _torn), (last, safe), (last, now)),
            *((others, now), (half, safe), (half, now), (half, _torn)),
        ):
            state: State = {}
            self._collect(state, "", 0, names, content)
            yield state

    def _collect(self, state: State, path: str, number: int, names: Any, content: Any) -> None:
        node = self._nodes[number]
        if isinstance(node, File):
            state[path] = content(node)
            return
        state[path] = None
        for name, child in _changed(node.safe, names(node.changes)).items():
            self._collect(state, f"{path}/{name}", child, names, content)


def write_state(state: State, folder: Path) -> None:
    """Make a state of the disk in an empty folder."""
    for path, content in state.items():
        if content is None:
            (folder / path.lstrip("/")).mkdir(exist_ok=True)
        else:
            (folder / path.lstrip("/")).write_bytes(content)


def _changed(names: dict[str, int], changes: list[Operation]) -> dict[str, int]:
    names = dict(names)
    for kind, _, name, *rest in changes:
        if kind == "rename":
            names.pop(name, None)
            names[rest[0]] = rest[1]
        elif kind in {"unlink", "rmdir"}:
            names.pop(name, None)
        else:
            names[name] = rest[0]
    return names


def _torn(file: File) -> bytes:
    """Half of what was changed has reached the disk."""
    if len(file.now) >= len(file.safe):
        return file.now[: (len(file.safe) + len(file.now)) // 2]
    return file.safe[: (len(file.safe) + len(file.now)) // 2]
