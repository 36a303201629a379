"""What a run names as its own tasks is executed only with trust, and found wherever it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import TaskError
from lexitrain.tasks.own_tasks import own_tasks


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "copied.py").write_text("")
    return folder


def test_without_trust_nothing_that_the_run_names_is_a_source(run: Path) -> None:
    own = own_tasks(["/a/copied.py", "package:Task"], [run])
    assert own.sources == ()
    assert own.left_out == ("copied.py", "package:Task")
    assert "--trust-tasks" in own.hint
    assert own_tasks([], [run.parent]).hint == ""


def test_with_trust_a_copy_comes_before_the_place_it_was_made_from(run: Path) -> None:
    own = own_tasks(["/a/copied.py", "package:Task"], [run], trust=True)
    assert own.sources == (str(run / "tasks" / "copied.py"), "package:Task")
    assert own.hint == ""


def test_what_the_user_names_stands_for_the_file_of_the_same_name(run: Path) -> None:
    assert own_tasks(["copied.py"], [run], given=["/mine/copied.py"]).sources == (
        "/mine/copied.py",
    )
    own = own_tasks(["copied.py"], [run], given=["/mine/copied.py"], trust=True)
    assert own.sources == ("/mine/copied.py",)


def test_a_file_that_is_nowhere_is_told_with_both_places(run: Path) -> None:
    with pytest.raises(TaskError, match="neither there nor in the run") as caught:
        own_tasks(["/gone/mine.py"], [run], trust=True)
    assert caught.value.where == "/gone/mine.py"
    assert str(run / "tasks" / "mine.py") in str(caught.value.fix)
