"""Checkpoints on disk: whole and verified, or not there.

A checkpoint is a folder `step-000150/` of files and a MANIFEST.json with the size and SHA-256 of each, written last. It
is built under a temporary name, every file is synced, and the folder is renamed; so a crash at any moment leaves the
checkpoints before it untouched. What is read back is checked against the manifest, and the manifest against its own
canonical form, so that one missing byte or one flipped bit anywhere is found.

The adapter with the best validation loss is kept beside the checkpoints as `best-000150/`, without optimizer state. A
checkpoint remembers which adapter was the best when it was written, and a run that goes on from it needs that one: so
an adapter that was surpassed is deleted only after the next checkpoint is on the disk.

Costs: one hash and one synced write of each byte. What the files mean is the matter of `checkpoint_content.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import number_of
from lexitrain.runs.checkpoint_names import (
    MANIFEST,
    best_folders,
    best_name,
    checkpoint_folders,
    checkpoint_name,
    step_of,
)
from lexitrain.storage import UNFINISHED, remove_folder, write_folder

FORMAT = 1

#: Called with the folder and the reason for each checkpoint that cannot be used.
ReportBroken = Callable[[Path, str], None]


class BrokenCheckpoint(Exception):
    """A checkpoint folder whose content is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint, in memory.

    Attributes:
        path: its folder.
        step: optimizer steps done.
        files: name -> content; exactly the bytes that were verified.
        note: facts that its writer put into the manifest.
    """

    path: Path
    step: int
    files: dict[str, bytes]
    note: dict[str, Any] = field(default_factory=dict[str, Any])


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made at the first save.
        keep: how many of the newest to keep; the best adapter is kept besides.
        truncate: empty each file before deleting it, see `remove_folder`.
    """

    def __init__(self, folder: Path, keep: int, *, truncate: bool = False) -> None:
        if keep < 1:
            raise ValueError("at least one checkpoint is kept")
        self.folder = folder
        self._keep = keep
        self._truncate = truncate

    def save(self, step: int, files: Mapping[str, bytes]) -> Path:
        """Write the checkpoint of `step`, then delete what is older than the newest `keep`, and older bests.

        Raises:
            OSError: no space, read-only, ...; the checkpoints before are then untouched, nothing half-written is left.
        """
        target = self._write(checkpoint_name(step), step, files, {})
        self._rotate(step)
        self._rotate_bests(step, {step})
        return target

    def save_best(self, step: int, files: Mapping[str, bytes], note: Mapping[str, Any]) -> Path:
        """Write the best adapter so far. The one before stays until the next `save`: the newest checkpoint needs it.

        Raises OSError like `save`.
        """
        target = self._write(best_name(step), step, files, note)
        known = [step_of(path) for path in self.steps()]
        self._rotate_bests(step, {step, *(each for each in known if each <= step)})
        return target

    def newest_valid(self, report: ReportBroken) -> Checkpoint | None:
        """The newest checkpoint that verifies; each newer one that does not is reported. None: there is none."""
        return self._first_valid(self.steps(), report)

    def best(self, report: ReportBroken, step: int | None = None) -> Checkpoint | None:
        """The best adapter that verifies, for a run whose best step is `step` (None: not known).

        A crash between `save_best` and `save` leaves a newer best that no checkpoint knows of. Such a one is taken only
        where no other is whole.
        """
        folders = self.bests()
        if step is not None:
            folders.sort(key=lambda path: step_of(path) > step)
        return self._first_valid(folders, report)

    def steps(self) -> list[Path]:
        """Folders of the checkpoints, the newest first. Nothing is verified."""
        return checkpoint_folders(self.folder)

    def bests(self) -> list[Path]:
        """Folders of the best adapters, the newest first. Nothing is verified."""
        return best_folders(self.folder)

    def remove_leftovers(self) -> None:
        """Delete what interrupted writes left under temporary names."""
        if self.folder.is_dir():
            for path in sorted(self.folder.glob(f"{UNFINISHED}*")):
                remove_folder(path)

    def prune(self) -> list[Path]:
        """Delete all but the newest `keep` checkpoints that verify and the best adapter that the newest knows.

        Where none verifies, nothing is deleted. Returns the folders that are gone.
        """
        whole = [path for path in self.steps() if _verifies(path)]
        if not whole:
            return []
        kept = set(whole[: self._keep])
        bests = [path for path in self.bests() if _verifies(path)]
        kept.update([path for path in bests if step_of(path) <= step_of(whole[0])][:1])
        gone = [path for path in (*self.steps(), *self.bests()) if path not in kept]
        for path in gone:
            self._remove(path)
        self.remove_leftovers()
        return gone

    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file())

    def _write(
        self, name: str, step: int, files: Mapping[str, bytes], note: Mapping[str, Any]
    ) -> Path:
        target = self.folder / name
        manifest = _manifest(step, files, note)
        # It may have been written before the crash that this run goes on from. Another one of this name is of a course
        # of the run that was given up, or broken since, and is replaced.
        if not _is_there(target, manifest):
            content = {**files, MANIFEST: manifest}
            write_folder(target, content, last=MANIFEST, truncate=self._truncate)
        return target

    def _first_valid(self, folders: list[Path], report: ReportBroken) -> Checkpoint | None:
        for path in folders:
            try:
                return read_checkpoint(path)
            except BrokenCheckpoint as error:
                report(path, str(error))
        return None

    def _rotate(self, newest: int) -> None:
        """Keep the checkpoint just written and those before it, up to `keep`; broken ones do not count."""
        kept = 0
        for path in self.steps():
            if step_of(path) > newest:
                continue
            if kept < self._keep and _looks_whole(path):
                kept += 1
            else:
                self._remove(path)

    def _rotate_bests(self, newest: int, known_at: set[int]) -> None:
        """Of the best adapters up to step `newest`, keep those that were the best at one of the steps `known_at`.

        The best adapter at a step is the newest one that was written up to it. Those after `newest` are of a course of
        the run that was given up; they are replaced when the run comes there again.
        """
        bests = [path for path in self.bests() if step_of(path) <= newest]
        kept = {max((step_of(p) for p in bests if step_of(p) <= at), default=0) for at in known_at}
        for path in bests:
            if step_of(path) not in kept:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        """Delete a folder, its manifest first: a crash in between leaves nothing that looks complete."""
        remove_folder(path, first=MANIFEST, truncate=self._truncate)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint folder, every byte of it.

    Raises:
        BrokenCheckpoint: the manifest is missing or not as it was written, or a file differs from it.
    """
    manifest = _read_manifest(path)
    files: dict[str, bytes] = {}
    for name, expected in manifest["files"].items():
        try:
            content = (path / name).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name that no file system takes
            raise BrokenCheckpoint(f"{name} cannot be read ({error})") from error
        if len(content) != expected["bytes"]:
            raise BrokenCheckpoint(
                f"{name} has {number_of(len(content), 'byte')} instead of {expected['bytes']}"
            )
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise BrokenCheckpoint(f"the content of {name} has changed (its SHA-256 differs)")
        files[name] = content
    return Checkpoint(path, manifest["step"], files, manifest["note"])


def _manifest(step: int, files: Mapping[str, bytes], note: Mapping[str, Any]) -> bytes:
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    return canonical({"format": FORMAT, "step": step, "note": dict(note), "files": listed})


def canonical(content: Mapping[str, Any]) -> bytes:
    """The manifest's bytes, with a hash of the rest in it: any other spelling is a damaged one."""
    seal = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**content, "sha256": seal}, indent=2, sort_keys=True) + "\n").encode()


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        raw = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BrokenCheckpoint(f"{MANIFEST} cannot be read ({error.strerror})") from error
    try:
        manifest: dict[str, Any] = json.loads(raw)
        del manifest["sha256"]
        whole = raw == canonical(manifest)
    except (ValueError, TypeError, KeyError, RecursionError):
        whole, manifest = False, {}
    if not whole:
        raise BrokenCheckpoint(f"{MANIFEST} is damaged or incomplete")
    if manifest.get("format") != FORMAT:
        raise BrokenCheckpoint(f"{MANIFEST} has format {manifest.get('format')}, not {FORMAT}")
    if manifest.get("step") != step_of(path):
        raise BrokenCheckpoint(f"{MANIFEST} is of step {manifest.get('step')}, not of this folder")
    _check_entries(manifest.get("files"), manifest.get("note"))
    return manifest


def _check_entries(files: Any, note: Any) -> None:
    """Files of this folder alone, with size and hash: a manifest may have been made by anyone."""
    if not isinstance(files, dict) or not isinstance(note, dict):
        raise BrokenCheckpoint(f"{MANIFEST} lists no files")
    for name, facts in cast("dict[str, Any]", files).items():
        if Path(name).name != name or name in {"", ".."}:
            raise BrokenCheckpoint(f"{MANIFEST} names {name!r}, which is no file of this folder")
        if not isinstance(facts, dict) or facts.keys() != {"bytes", "sha256"}:
            raise BrokenCheckpoint(f"{MANIFEST} says nothing of use about {name}")


def _verifies(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except BrokenCheckpoint:
        return False
    return True


def _is_there(path: Path, manifest: bytes) -> bool:
    """Whether the very checkpoint with this manifest is at `path`, verified."""
    try:
        if (path / MANIFEST).read_bytes() != manifest:
            return False
        read_checkpoint(path)
    except (OSError, BrokenCheckpoint):
        return False
    return True


def _looks_whole(path: Path) -> bool:
    """Sizes as the manifest says; the contents are not read."""
    try:
        files = _read_manifest(path)["files"]
        return all((path / name).stat().st_size == each["bytes"] for name, each in files.items())
    except (BrokenCheckpoint, OSError, ValueError):
        return False
