"""Lengths as they are measured: whole for the statistics, shortened for the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lexitrain.errors import DataError
from lexitrain.planning.estimate.sample_lengths import measure_lengths
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.lengths import LengthReport
from lexitrain.synthetic import generate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    lines = [record.to_json() + "\n" for record in generate(120, 3)]
    (path / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    return path


def measured(
    folder: Path, *changes: str, limit: int = 1000, told: list[str] | None = None
) -> tuple[LengthReport, np.ndarray]:
    recipe: Recipe = load_recipe("demo", changes)
    stages = [] if told is None else told
    return measure_lengths(
        str(folder),
        recipe,
        cover=0.5,
        limit=limit,
        progress=lambda stage, _done, _total: stages.append(stage),
    )


def test_the_report_is_of_whole_samples_and_the_steps_of_shortened_ones(folder: Path):
    told: list[str] = []
    whole, totals = measured(folder, "data.max_length=1024", told=told)
    assert (whole.shortened, whole.unfit) == (0, 0)
    assert list(dict.fromkeys(told)) == ["tokenizing", "laying out steps"]
    assert whole.covering[0.5] >= np.median(totals)
    limit = int(np.percentile(totals, 80))
    cut, same = measured(folder, f"data.max_length={limit}")
    assert (same == totals).all()
    assert cut.tasks == whole.tasks
    assert cut.shortened == pytest.approx(np.mean(totals > limit))
    assert cut.step_tokens["packed"] < whole.step_tokens["packed"]
    assert cut.step_tokens["tree"] < cut.step_tokens["packed"] < cut.step_tokens["padded"]


def test_what_cannot_be_shortened_is_left_out(folder: Path):
    whole, _ = measured(folder, "data.max_length=1024")
    few, _ = measured(folder, "data.max_length=80")
    assert 0 < few.unfit < 120
    assert few.tasks["all"].samples == whole.tasks["all"].samples == 120


def test_of_many_records_so_many_are_drawn(folder: Path):
    report, totals = measured(folder, limit=30)
    assert report.tasks["all"].samples == len(totals) == 30
    again, _ = measured(folder, limit=30)
    assert again == report
    other, _ = measured(folder, "seed=7", limit=30)
    assert other != report


def test_records_that_cannot_be_measured_are_named(tmp_path: Path):
    file = tmp_path / "records.jsonl"
    for line, reason in (("{broken", "malformed JSON"), ("", "no records to measure")):
        file.write_text(line + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=reason):
            measured(file)


def test_characters_that_the_base_does_not_know_are_told(folder: Path, tmp_path: Path):
    assert measured(folder)[0].warnings == ()
    text = (folder / "train.jsonl").read_text(encoding="utf-8").replace("'", "学")
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    report, _ = measured(tmp_path)
    assert any(
        warning.startswith("explanation: ") and "学" in warning for warning in report.warnings
    )
    assert report.to_json()["warnings"] == report.warnings


def test_a_home_folder_is_meant_by_a_tilde(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert measured(Path("~") / folder.name)[0].tasks["all"].samples == 120
