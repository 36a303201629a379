"""What of a build is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.building.stage_journal import StageJournal, key_of
from lexitrain.errors import InputError
from lexitrain.runs import BUILD_JOURNAL


def test_a_stage_is_done_with_its_key_alone(tmp_path: Path) -> None:
    StageJournal(tmp_path).keep("prepare", "a", {"n": 1}, 2.0)
    again = StageJournal(tmp_path)
    assert again.done("prepare", "a") == {"n": 1}
    assert again.done("prepare", "b") is None
    assert again.done("train", "a") is None
    assert again.seconds("prepare") == 2.0


def test_what_came_after_a_stage_is_not_done_when_that_is_done_again(tmp_path: Path) -> None:
    journal = StageJournal(tmp_path)
    for stage in ("prepare", "plan", "train"):
        journal.keep(stage, "a", {}, 1.0)
    journal.keep("plan", "b", {}, 1.0)
    again = StageJournal(tmp_path)
    assert again.done("prepare", "a") is not None
    assert again.done("plan", "b") is not None
    assert not again.has("train")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"stages": []}', '{"stages": {"train": 3}}', "\x00", "nul"]
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / BUILD_JOURNAL).write_text(content)
    with pytest.raises(InputError, match="journal of a build"):
        StageJournal(tmp_path)


def test_a_doctored_entry_does_a_stage_again(tmp_path: Path) -> None:
    (tmp_path / BUILD_JOURNAL).write_text(
        '{"stages": {"train": {"key": "a", "made": 3}, "plan": {"key": "a", "made": {}, "seconds": "x"}}}'
    )
    journal = StageJournal(tmp_path)
    assert journal.done("train", "a") is None
    assert journal.done("plan", "a") is None  # of another version, too
    assert journal.seconds("plan") == 0.0

    journal.keep("plan", "a", {"why": "it fits", "sizes": (1, 2.5, float("nan"))}, 1.0)
    assert StageJournal(tmp_path).done("plan", "a") == {"why": "it fits", "sizes": [1, 2.5, None]}
    text = (tmp_path / BUILD_JOURNAL).read_text()
    (tmp_path / BUILD_JOURNAL).write_text(text.replace("it fits", "it does"))
    assert StageJournal(tmp_path).done("plan", "a") is None


def test_files_that_are_gone_or_cut_short_are_told(tmp_path: Path) -> None:
    small, large, folder = tmp_path / "small", tmp_path / "large", tmp_path / "grammars"
    small.write_text("abc")
    large.write_bytes(bytes(2_000_000))
    folder.mkdir()
    (folder / "a").write_text("a")
    never = tmp_path / "never"
    StageJournal(tmp_path).keep("export", "a", {}, 1.0, [small, large, folder, never])
    journal = StageJournal(tmp_path)
    assert journal.lacks("export") == ([], [])
    small.write_text("abd")
    large.write_bytes(bytes(1_999_999))
    (folder / "a").unlink()
    assert journal.lacks("export") == ([], [small, large, folder])
    small.unlink()
    assert journal.lacks("export") == ([small], [large, folder])


def test_a_folder_of_the_journals_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / BUILD_JOURNAL).mkdir()
    with pytest.raises(InputError, match="journal of a build"):
        StageJournal(tmp_path)


def test_a_key_depends_on_every_part_and_its_place() -> None:
    keys = {key_of("a", "b"), key_of("b", "a"), key_of("ab"), key_of("a", ["b"]), key_of("a", None)}
    assert len(keys) == 5
    assert key_of({"x": 1, "y": 2}) == key_of({"y": 2, "x": 1})
