"""The run folder: each file reads back, and the folder as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lexitrain.errors import InputError, RunError
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import DataSummary, Run
from lexitrain.storage.atomic import write_file


def test_each_file_reads_back_what_was_written(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run.is_empty()
    assert not run.exists()
    recipe = load_recipe("demo", ["lora.rank=5"])
    data = DataSummary("data", {"train.jsonl": {"bytes": 3}}, {}, {}, {}, {}, "00")
    run.write_recipe(recipe)
    run.write_data(data)
    run.write_environment({"seed": 1})
    run.write_plan({"hours": 2.5})
    run.write_evaluation("test", {"grammar": 0.5})

    assert run.exists()
    assert not run.is_empty()
    assert run.read_recipe() == recipe
    assert run.read_data() == data
    assert run.read_environment() == {"seed": 1}
    assert run.read_plan() == {"hours": 2.5}
    assert run.read_evaluation("test") == {"grammar": 0.5}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    with pytest.raises(OSError, match="No space"):
        Run(tmp_path).append_event("started", 0)
    monkeypatch.undo()

    assert path.read_bytes() == b"old"
    assert Run(tmp_path).events() == []
    assert {each.name for each in tmp_path.iterdir()} == {"file", "events.jsonl"}


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a run"):
        Run(tmp_path).read_recipe()
    (tmp_path / "environment.json").write_text("[1]")
    with pytest.raises(InputError, match="JSON object"):
        Run(tmp_path).read_environment()
    (tmp_path / "data.json").write_text("{}")
    with pytest.raises(InputError, match="data summary"):
        Run(tmp_path).read_data()


def test_one_process_at_a_time_holds_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.write_plan({})
    assert not run.is_locked()
    with run.lock():
        assert run.is_locked()
        with pytest.raises(InputError, match="Another process"), Run(run.path).lock():
            pass
    assert not run.is_locked()


def test_a_lock_under_which_nothing_was_written_leaves_no_folder(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(ValueError, match="mistake"), run.lock():
        raise ValueError("mistake")
    assert not run.path.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("day", "abc"),
        ("day", 5),
        ("samples", {"train": 5}),
        ("samples", {"train": {"grammar": "x"}}),
        ("files", {"train.jsonl": 1}),
        ("token_lengths", {"train": {"mean": "long"}}),
        ("unknown", 1),
    ],
)
def test_a_data_summary_that_nobody_wrote_names_the_field(
    tmp_path: Path, field: str, value: object
) -> None:
    run = Run(tmp_path)
    summary = DataSummary(
        folder="data",
        files={"train.jsonl": {"sha256": "0", "bytes": 1}},
        samples={"train": {"grammar": 1}},
        skipped={"train": 0},
        truncated={"train": 0},
        token_lengths={"train": {"mean": 1.5, "max": 2}},
        rendered_sha256="0",
        day="2026-01-02",
    )
    run.write_data(summary)
    assert run.read_data() == summary
    content = json.loads(run.data_file.read_text())
    run.data_file.write_text(json.dumps({**content, field: value}))
    with pytest.raises(RunError, match=f"not a data summary: {field}"):
        run.read_data()


def test_a_lock_leaves_nothing_in_the_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.txt").write_text("mine")
    with Run(tmp_path / "mine").lock():
        pass
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["own.txt"]


def test_a_folder_without_a_name_of_its_own_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--run .` mirrored into the mirror's own folder, `--run ..` above it."""
    (tmp_path / "run" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    assert Run(".").path == Run("").path == tmp_path / "run"
    assert Run("below/..").path == tmp_path / "run"
    monkeypatch.chdir("below")
    assert Run("..").path == tmp_path / "run"
    assert Run("some/run").path == Path("some/run")


def test_moving_aside_never_overwrites(tmp_path: Path) -> None:
    for expected in ("run.old-1", "run.old-2"):
        run = Run(tmp_path / "run")
        run.write_environment({"seed": expected})
        assert run.move_aside().name == expected
    assert Run(tmp_path / "run.old-1").read_environment() == {"seed": "run.old-1"}
