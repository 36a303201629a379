"""The run folder: files that survive crashes, journals without torn lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lexitrain.errors import InputError
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import DataSummary, Metrics, Run
from lexitrain.storage.atomic import write_file


def metrics(step: int, validation_loss: float | None = None) -> Metrics:
    return Metrics(
        step=step,
        epoch=step / 10,
        loss=1 / 3 + step,
        learning_rate=1e-3,
        grad_norm=0.5,
        samples_per_second=10.0,
        tokens_per_second=100.0,
        supervised_tokens=12,
        layout_tokens=40,
        data_wait_seconds=0.0,
        memory_gb=0.5,
        validation_loss=validation_loss,
    )


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


def test_metrics_read_back_exactly_and_are_cut_after_a_step(tmp_path: Path) -> None:
    run = Run(tmp_path)
    lines = [metrics(10), metrics(20, 0.25), metrics(30)]
    for line in lines[:2]:
        run.append_metrics(line)
    undisturbed = run.metrics_file.read_bytes()
    run.append_metrics(lines[2])
    assert run.metrics() == lines

    run.cut_metrics(after_step=20)

    assert run.metrics_file.read_bytes() == undisturbed


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_last_line_is_dropped_by_readers_and_by_the_next_append(
    tmp_path: Path, cut: int
) -> None:
    run = Run(tmp_path)
    run.append_metrics(metrics(10))
    run.append_metrics(metrics(20))
    os.truncate(run.metrics_file, run.metrics_file.stat().st_size - cut)

    assert run.metrics() == [metrics(10)]
    run.append_metrics(metrics(20))
    assert run.metrics() == [metrics(10), metrics(20)]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.metrics_file.write_text('{"step": 1, "loss"\n{"step": 2, "loss": 1}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl:1"):
        run.metrics()


def test_events_keep_their_details_and_order(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_event("started", 0, total_steps=9)
    run.append_event("finished", 9, reason="end")
    assert [(e.event, e.step, e.details) for e in run.events()] == [
        ("started", 0, {"total_steps": 9}),
        ("finished", 9, {"reason": "end"}),
    ]


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


def test_moving_aside_never_overwrites(tmp_path: Path) -> None:
    for expected in ("run.old-1", "run.old-2"):
        run = Run(tmp_path / "run")
        run.write_environment({"seed": expected})
        assert run.move_aside().name == expected
    assert Run(tmp_path / "run.old-1").read_environment() == {"seed": "run.old-1"}
