"""What a run shows: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys

import pytest

from lexitrain.cli.views.training import TrainingProgress
from lexitrain.runs.journals import Event
from lexitrain.training import Progress


def progress(step: int) -> Progress:
    return Progress(
        step=step,
        total_steps=100,
        epoch=step / 50,
        loss=1.25,
        validation_loss=1.5,
        tokens_per_second=1234.5,
        seconds_left=3725.0,
    )


def test_lines_come_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as shown:
        for step in range(1, 101):
            shown.progress(progress(step))
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step 1/100  epoch 0.02  loss 1.250  val 1.500")
    assert "tokens/s" in lines[0]
    assert "1 h 02 min left" in lines[0]
    assert lines[1].startswith("step 100/100")


def test_events_that_matter_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    started = {
        "total_steps": 100,
        "samples_per_epoch": 1200,
        "validation_loss": 2.5,
        "skipped": {"train": 3, "validation": 0},
    }
    told = {
        "started": (started, "100 steps, 1,200 samples an epoch; 3 records are left out"),
        "resumed": ({"checkpoint": "step-000150"}, "going on from step-000150"),
        "broken": ({"checkpoint": "step-000150", "reason": "x [y]"}, "cannot be used: x [y]"),
        "mirror": ({"problem": "gone"}, "mirror: gone"),
        "environment": (
            {"changes": ["torch: 1 -> 2"], "no_longer_exact": ["torch"]},
            "torch: 1 -> 2; the last bits may differ from now on (torch)",
        ),
        "signal": ({"signal": "SIGTERM"}, "SIGTERM"),
        "checkpoint": ({"bytes": 1}, ""),
    }
    for name, (details, expected) in told.items():
        with TrainingProgress() as shown:
            shown.event(Event(name, 1, "now", details))
        said = capsys.readouterr().err
        assert expected in said
        assert bool(said) == bool(expected)


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with TrainingProgress() as shown:
        shown.stage("loading the model")
        shown.progress(progress(1))
        shown.stage("validating")
        shown.progress(progress(40))
        shown.event(Event("finished", 40, "now", {}))
    said = capsys.readouterr().err
    assert "loading the model" in said
    assert "40/100" in said
    assert "1 h 02 min left" in said


def test_brackets_in_a_path_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as shown:
        shown.stage("there are no data in runs/[bold]x[/]: reading the run's copy")
    assert "runs/[bold]x[/]: reading" in capsys.readouterr().err
