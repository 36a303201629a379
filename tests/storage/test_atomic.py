"""Files and folders appear whole or not at all, and leave nothing beside them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import InputError, Stopped
from lexitrain.storage.atomic import file_at_once, folder_at_once, write_file, write_folder
from tests.disks import mounted


def fill(folder: Path, content: str) -> None:
    for name in ("a.txt", "report.json"):
        (folder / name).write_text(content)


def fill_and_fail(folder: Path, content: str) -> None:
    fill(folder, content)
    (folder / "missing").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with file_at_once(path) as file:
        file.write(b"first")
        assert not path.exists()
    with pytest.raises(TypeError), file_at_once(path) as file:
        file.write("no bytes")  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert path.read_bytes() == b"first"
    assert names(path.parent) == ["a.txt"]


def test_a_new_folder_appears_at_once(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with folder_at_once(out, "report.json") as folder:
        fill(folder, "1")
        assert not out.exists()
    assert names(out) == ["a.txt", "report.json"]
    assert out.stat().st_mode & 0o777 == (tmp_path / "deep").stat().st_mode & 0o777
    assert names(tmp_path) == ["deep"]


def test_an_error_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for attempt in ("new", "existing"):
        before = names(tmp_path)
        with pytest.raises(FileNotFoundError), folder_at_once(out, "report.json") as folder:
            fill_and_fail(folder, attempt)
        assert names(tmp_path) == before
        if out.exists():
            assert names(out) == ["mine.txt"]
        out.mkdir(exist_ok=True)
        (out / "mine.txt").touch()


def test_an_existing_folder_keeps_its_other_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    fill(out, "old")
    with folder_at_once(out, "report.json") as folder:
        fill(folder, "new")
    assert names(out) == ["a.txt", "mine.txt", "report.json"]
    assert (out / "a.txt").read_text() == (out / "report.json").read_text() == "new"


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="a file, not a folder"),
        folder_at_once(tmp_path / "file", "r"),
    ):
        pass
    with pytest.raises(InputError), folder_at_once(tmp_path / "file" / "out", "r"):
        pass
    with pytest.raises(InputError, match="a folder, not a file"), file_at_once(tmp_path):
        pass


def test_a_full_disk_stops_and_leaves_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k") as disk:
        with pytest.raises(Stopped, match="disk is full"), file_at_once(disk / "a") as file:
            file.write(b"x" * 200_000)
        with (
            pytest.raises(Stopped, match="disk is full"),
            folder_at_once(disk / "out", "r") as folder,
        ):
            (folder / "a").write_bytes(b"x" * 200_000)
        assert names(disk) == []


def test_a_read_only_disk_is_an_input_error(tmp_path: Path) -> None:
    with mounted(tmp_path / "fixed", "size=64k,ro") as disk:
        with pytest.raises(InputError, match="Read-only"), file_at_once(disk / "a"):
            pass
        with pytest.raises(InputError, match="Read-only"), folder_at_once(disk / "out", "r"):
            pass


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from lexitrain.storage.atomic import *\n"
        "with file_at_once(Path(sys.argv[1]) / 'a.txt') as file, "
        "folder_at_once(Path(sys.argv[1]) / 'out', 'r') as folder:\n"
        "    file.write(b'x'); (folder / 'a').touch(); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == 9
    assert len(names(tmp_path)) == 2
    with file_at_once(tmp_path / "a.txt"), folder_at_once(tmp_path / "out", "r"):
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == ["a.txt", "out"]


def test_what_an_earlier_process_of_the_same_number_left_is_no_hindrance(tmp_path: Path) -> None:
    left = tmp_path / f".out.partial-{platform.node()}-{os.getpid()}"
    left.mkdir()
    with folder_at_once(tmp_path / "out", "report.json") as folder:
        fill(folder, "1")
    assert names(tmp_path) == ["out"]


FILES = {"weights": b"12", "MANIFEST": b"{}"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_replaced_by_one_with_these_files_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    write_folder(target, {**FILES, "more": b""})
    write_folder(target, FILES)
    assert contents(target) == FILES
    assert names(target.parent) == ["target"]


def removed_from(
    target: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> list[tuple[str, int]]:
    """Writes `target` anew; the names of the old files in the order of their deletion, and their sizes then."""
    removed: list[tuple[str, int]] = []
    unlink = Path.unlink

    def noting(path: Path, missing_ok: bool = False) -> None:
        removed.append((path.name, path.stat().st_size))
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", noting)
        write_folder(target, FILES, **options)
    return removed


def test_of_an_old_folder_the_file_that_makes_it_complete_is_deleted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    write_folder(target, {"a": b"1", "weights": b"12", "z": b""})
    assert removed_from(target, monkeypatch) == [("a", 1), ("weights", 2), ("z", 0)]
    found = removed_from(target, monkeypatch, last="weights", truncate=True)
    assert found == [("weights", 0), ("MANIFEST", 0)]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_folder_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    target = tmp_path / "target"
    write_folder(target, {"old": b"1"})
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_folder(target, FILES)
    assert contents(target) == {"old": b"1"}
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("left", [".tmp-adapter-77", ".adapter.tmp", ".adapter.tmp-77"])
def test_what_a_killed_process_left_of_a_folder_goes_when_it_is_written(
    tmp_path: Path, left: str
) -> None:
    """Also under the names of version 0.1.0; what is left of other folders is not touched."""
    for name in (left, ".tmp-adapters-77"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_bytes(b"1")
    write_folder(tmp_path / "adapter", FILES)
    assert names(tmp_path) == [".tmp-adapters-77", "adapter"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "file"
    write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_file(path, b"new")
    assert contents(path.parent) == {"file": b"old"}
