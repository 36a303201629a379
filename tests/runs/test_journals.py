"""The lines of the journals: they read back exactly, and broken ones are named."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lexitrain.errors import RunError
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import (
    Metrics,
    append_event,
    append_metrics,
    cut_metrics,
    event_now,
    read_events,
    read_metrics,
)


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
    with pytest.raises(RunError, match=r"metrics\.jsonl:1"):
        run.metrics()


def test_events_keep_their_details_and_order(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_event("started", 0, total_steps=9)
    run.append_event("finished", 9, reason="end")
    assert [(e.event, e.step, e.details) for e in run.events()] == [
        ("started", 0, {"total_steps": 9}),
        ("finished", 9, {"reason": "end"}),
    ]


def test_keys_that_another_version_has_written_are_passed_over(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_metrics(metrics(10))
    line = json.loads(run.metrics_file.read_bytes())
    run.metrics_file.write_text(json.dumps({**line, "new": "x"}) + "\n")
    assert run.metrics() == [metrics(10)]


def test_numbers_that_are_none_are_null_and_old_bare_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, replace(metrics(2, math.nan), grad_norm=math.inf))
    line = path.read_text("utf-8")
    assert '"validation_loss": null' in line
    assert '"grad_norm": null' in line
    path.write_text(line.replace("null", "NaN") + line.replace("null", "-Infinity"), "utf-8")
    for found in read_metrics(path):
        assert found.validation_loss is None
        assert math.isnan(found.grad_norm)
    cut_metrics(path, 2)
    assert path.read_text("utf-8") == 2 * line
    for broken in (line.replace('"step": 2', '"step": null'), line.replace('"loss"', '"lost"')):
        path.write_text(broken + line, "utf-8")
        with pytest.raises(RunError, match="not a line of this journal"):
            read_metrics(path)


def test_events_hold_no_bare_nan(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, event_now("spike", 3, {"loss": math.nan, "more": [{"deep": math.inf}]}))
    assert '"loss": null, "more": [{"deep": null}]' in path.read_text("utf-8")
    path.write_text('{"event": "spike", "step": 3, "time": "", "loss": NaN}\n', "utf-8")
    assert read_events(path)[0].details == {"loss": None}
