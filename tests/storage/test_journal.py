"""Journals gain whole lines, and lose none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lexitrain.storage.journal import append_to_journal, whole_lines


@pytest.mark.parametrize("torn", [b"", b"h", b"half a line"])
def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "new" / "journal"
    assert whole_lines(path) == []
    append_to_journal(path, b"one\ntwo\n")
    with path.open("ab") as file:
        file.write(torn)
    assert whole_lines(path) == [b"one", b"two"]
    append_to_journal(path, b"three\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_journal_of_one_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"half a line")
    assert whole_lines(path) == []
    append_to_journal(path, b"one\n")
    assert path.read_bytes() == b"one\n"


def test_a_failure_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    append_to_journal(path, b"one\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            append_to_journal(path, b"two\n")
    assert path.read_bytes() == b"one\n"
