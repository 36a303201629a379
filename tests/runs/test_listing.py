"""What became of runs, read from their own files."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import Run
from lexitrain.runs.listing import list_runs, run_folders, summarize
from tests.runs.test_journals import metrics


def make_run(path: Path, *events: str) -> Run:
    run = Run(path)
    run.write_recipe(load_recipe("demo"))
    for event in events:
        run.append_event(event, 0)
    return run


def test_runs_are_found_two_levels_below_and_no_deeper(tmp_path: Path) -> None:
    for place in ("b", "a/grammar", "a/fluency", "a/fluency/deeper"):
        make_run(tmp_path / place)
    (tmp_path / "empty").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in run_folders(tmp_path)]
    assert found == ["a/fluency", "a/grammar", "b"]
    assert run_folders(tmp_path / "b") == [tmp_path / "b"]


def test_the_folder_of_a_build_is_no_run_though_it_holds_a_recipe(tmp_path: Path) -> None:
    make_run(tmp_path / "tutor")
    (tmp_path / "tutor" / "build.json").write_text("{}\n")
    make_run(tmp_path / "tutor" / "run")
    assert run_folders(tmp_path) == run_folders(tmp_path / "tutor") == [tmp_path / "tutor" / "run"]


def test_the_last_turn_of_a_run_is_its_state(tmp_path: Path) -> None:
    for events, state in (
        ((), "interrupted"),
        (("started", "warning"), "interrupted"),
        (("started", "stopped", "checkpoint"), "stopped"),
        (("started", "stopped", "resumed"), "interrupted"),
        (("started", "finished", "mirror"), "finished"),
    ):
        run = make_run(tmp_path / "-".join(["run", *events]), *events)
        assert summarize(run.path).state == state
        with run.lock():
            assert summarize(run.path).state == "running"


def test_a_run_that_cannot_be_read_is_broken_and_says_why(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.append_metrics(metrics(10))
    run.metrics_file.write_bytes(b"{\n" + run.metrics_file.read_bytes())
    summary = summarize(run.path)
    assert (summary.state, summary.recipe) == ("broken", None)
    assert "metrics.jsonl:1" in summary.next


def test_a_loss_that_is_no_number_is_none(tmp_path: Path) -> None:
    """`runs --json` held a bare NaN, which other programs refuse."""
    run = make_run(tmp_path / "run", "started")
    run.append_metrics(replace(metrics(10), loss=math.nan))
    assert summarize(run.path).loss is None


def test_runs_are_told_apart_by_what_most_of_them_do_not_have(tmp_path: Path) -> None:
    for name, overrides in (
        ("a", ["lora.rank=8"]),
        ("b", []),
        ("c", ["data.tasks=[grammar,fluency]", "log_every=1"]),
    ):
        Run(tmp_path / name).write_recipe(load_recipe("demo", overrides))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.yaml").write_text("[")
    found = {Path(each.path).name: each.differs for each in list_runs(tmp_path)}
    assert found == {
        "a": ("lora.rank=8",),
        "b": (),
        "broken": (),
        "c": ("data.tasks=grammar,fluency",),
    }
    assert list_runs(tmp_path / "a")[0].differs == ()


def test_scores_are_of_the_newest_evaluation_of_the_run_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "finished")

    def evaluation(model: str, f: float | None) -> dict[str, object]:
        score = {"primary": "f0.5", "scores": {"f0.5": {"value": f}}}
        return {"model": model, "base": "nano", "tasks": {"grammar": score}}

    for age, (name, content) in enumerate(
        [
            ("before", evaluation("nano", 0.0)),
            ("test-broken", {"tasks": 3}),
            ("other", evaluation("run", 0.3)),
            ("test", evaluation("run", 0.91)),
            ("test-old", evaluation("run", 0.5)),
        ]
    ):
        path = run.write_evaluation(name, content)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert summarize(run.path).scores == {"grammar": "f0.5 0.91"}
    run.write_evaluation("test-undefined", evaluation("run", None))
    assert summarize(run.path).scores == {"grammar": "f0.5 0.91"}
