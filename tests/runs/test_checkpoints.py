"""Checkpoints: whole and verified, or not there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexitrain.runs.checkpoint_names import MANIFEST
from lexitrain.runs.checkpoints import BrokenCheckpoint, Checkpoints, read_checkpoint
from lexitrain.runs.folder import Run

FILES = {"adapter.bin": bytes(range(200)), "state.json": b'{"step": 1}', "empty": b""}


class Reports(list[tuple[str, str]]):
    """Collects what was reported as broken."""

    def __call__(self, path: Path, reason: str) -> None:
        self.append((path.name, reason))


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.newest_valid(Reports()) is None
    path = checkpoints.save(150, FILES)
    assert path.name == "step-000150"
    found = checkpoints.newest_valid(Reports())
    assert found is not None
    assert (found.step, found.files) == (150, FILES)
    assert json.loads((path / MANIFEST).read_bytes())["files"]["empty"]["bytes"] == 0
    assert Run(tmp_path).checkpoint_steps() == [150]
    assert Run(tmp_path).checkpoint(150) == path


def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (10, 20, 30, 40):
        if step in {10, 20}:
            checkpoints.save_best(step, {"adapter.bin": b"x"}, {"validation_loss": 1 / step})
        checkpoints.save(step, FILES)
    assert names(tmp_path) == ["best-000020", "step-000030", "step-000040"]
    best = checkpoints.best(Reports())
    assert best is not None
    assert (best.step, best.note) == (20, {"validation_loss": 0.05})
    total = sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file())
    assert checkpoints.size() == total


def test_broken_checkpoints_do_not_count_as_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(10, FILES)
    checkpoints.save(20, FILES)
    os.truncate(tmp_path / "step-000020" / "adapter.bin", 3)
    checkpoints.save(30, FILES)
    assert names(tmp_path) == ["step-000010", "step-000030"]


def test_going_on_from_an_older_checkpoint_replaces_the_broken_newer_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(30, FILES)
    os.truncate(tmp_path / "step-000030" / "adapter.bin", 3)
    checkpoints.save(20, FILES)
    assert names(tmp_path) == ["step-000020", "step-000030"]
    found = checkpoints.newest_valid(Reports())
    assert found is not None
    assert found.step == 20
    checkpoints.save(30, FILES)
    assert names(tmp_path) == ["step-000030"]
    assert read_checkpoint(tmp_path / "step-000030").files == FILES


@pytest.mark.parametrize("file", [*FILES, MANIFEST])
@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_any_damage_is_found_and_the_one_before_is_used(
    tmp_path: Path, file: str, damage: str
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, FILES)
    path = checkpoints.save(2, FILES) / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif not content:
        path.write_bytes(b"x")
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    reports = Reports()
    found = checkpoints.newest_valid(reports)

    assert found is not None
    assert found.step == 1
    assert [name for name, _ in reports] == ["step-000002"]
    assert file in reports[0][1]


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_flipped_bit_of_the_manifest_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "step-000150"
    if not folder.exists():
        Checkpoints(tmp_path, keep=1).save(150, FILES)
    intact = (folder / MANIFEST).read_bytes()
    place = data.draw(st.integers(0, len(intact) - 1))
    damaged = bytearray(intact)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / MANIFEST).write_bytes(damaged)
    try:
        with pytest.raises(BrokenCheckpoint):
            read_checkpoint(folder)
    finally:
        (folder / MANIFEST).write_bytes(intact)


def test_a_manifest_in_another_folder_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=1).save(1, FILES)
    shutil.copytree(tmp_path / "step-000001", tmp_path / "step-000009")
    with pytest.raises(BrokenCheckpoint, match="not of this folder"):
        read_checkpoint(tmp_path / "step-000009")


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_a_failure_at_any_write_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, FILES)
    calls = 0
    sync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    # Files and manifest are four syncs; a folder that cannot be synced is no failure.
    if fails_at <= 4:
        with pytest.raises(OSError, match="No space"):
            checkpoints.save(2, FILES)
    else:
        checkpoints.save(2, FILES)
    monkeypatch.undo()

    found = checkpoints.newest_valid(Reports())
    assert found is not None
    assert found.step == (1 if fails_at <= 4 else 2)
    assert len(names(tmp_path)) == 1


def test_leftovers_of_a_kill_are_removed_and_never_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, FILES)
    shutil.copytree(tmp_path / "step-000001", tmp_path / ".tmp-step-000002-77")
    assert checkpoints.newest_valid(Reports()) is not None
    checkpoints.remove_leftovers()
    assert names(tmp_path) == ["step-000001"]


def test_truncating_rotation_empties_files_before_deleting_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    unlink = Path.unlink

    def noting(path: Path, missing_ok: bool = False) -> None:
        sizes.append(path.stat().st_size)
        unlink(path, missing_ok)

    checkpoints = Checkpoints(tmp_path, keep=1, truncate=True)
    checkpoints.save(1, FILES)
    monkeypatch.setattr(Path, "unlink", noting)
    checkpoints.save(2, FILES)
    assert sizes == [0, 0, 0, 0]
