from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lexitrain.errors import InputError, Stopped
from lexitrain.storage.at_once import disk_errors, file_at_once, folder_at_once
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


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="something else"), disk_errors(tmp_path):
        raise OSError("something else")


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from lexitrain.storage.at_once import *\n"
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
