"""A process that only reads a run changes nothing of it."""

from __future__ import annotations

from pathlib import Path

from lexitrain.runs.folder import Run
from lexitrain.runs.read_only import ReadOnlyRun
from tests.runs.test_journals import metrics


def test_all_is_read_and_nothing_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_metrics(metrics(10))
    run.append_event("started", 0)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    reader = ReadOnlyRun(tmp_path)
    with reader.lock(), run.lock():  # the first process holds the lock, and the others go by
        reader.append_metrics(metrics(20))
        reader.cut_metrics(after_step=0)
        told = reader.append_event("stopped", 10, reason="time")
    (tmp_path / ".lock").unlink(missing_ok=True)

    assert (told.event, told.step, told.details) == ("stopped", 10, {"reason": "time"})
    assert told.time >= run.events()[0].time
    assert reader.metrics() == [metrics(10)]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
