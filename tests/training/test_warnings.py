"""What training warns of before its first step, as an event."""

from __future__ import annotations

from pathlib import Path

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import Run
from lexitrain.synthetic import generate
from lexitrain.training import train


def warnings_of_a_run(folder: Path, quote: str) -> list[str]:
    data = folder / "data"
    data.mkdir(parents=True)
    records = generate(24, 5, ["explanation"])
    lines = "".join(each.to_json().replace("'", quote) + "\n" for each in records)
    (data / "train.jsonl").write_text(lines, encoding="utf-8")
    run = folder / "run"
    for step in (1, 2):  # a run that goes on does not repeat it
        train(load_recipe("demo", ["step.effective_batch=6"]), data, run, stop_after_step=step)
    return [each.details["what"] for each in Run(run).events() if each.event == "warning"]


def test_characters_that_the_base_does_not_know_are_told_once(tmp_path: Path):
    (told,) = warnings_of_a_run(tmp_path / "foreign", "学")
    assert told.startswith("explanation: ")
    assert "学" in told
    assert warnings_of_a_run(tmp_path / "plain", "'") == []
