from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import DataError
from lexitrain.preparation.dropped_records import DroppedRecords, shortened
from lexitrain.preparation.pipeline import prepare


def essays(bands: list[float]) -> list[dict[str, Any]]:
    return [
        {"task": "fluency", "input": f"Essay number {n}", "output": {"fluency_score": band}}
        for n, band in enumerate(bands)
    ]


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_a_file_of_bands_is_refused_with_the_reason_a_place_and_the_scale(tmp_path: Path) -> None:
    source = write(tmp_path / "ielts.jsonl", essays([1.0, *(2 + n % 15 / 2 for n in range(1223))]))
    with pytest.raises(DataError) as caught:
        prepare([source], tmp_path / "out")
    text = str(caught.value)
    assert "1,223 of 1,224 records would be dropped, more than --max-dropped 0.5" in text
    assert f"{source}:2: invalid: output.fluency_score is 2.0, not between 0.0 and 1.0" in text
    assert "Most often (1,223)" in text
    assert "output.fluency_score=COLUMN/9" in text
    assert not (tmp_path / "out").exists()
    report = prepare([source], tmp_path / "out", max_dropped=1.0)
    assert report["records"]["kept"] == 1
    scaled = "input=input,output.fluency_score=output.fluency_score/9"
    report = prepare([source], tmp_path / "scaled", maps=[scaled])
    assert report["records"] == {"read": 1224, "bad": 0, "dropped": 0, "kept": 1224}


def test_a_task_that_is_lost_among_many_others_is_refused_too(tmp_path: Path) -> None:
    others = [{"task": "grammar", "input": f"Text {n}", "output": "Right."} for n in range(500)]
    source = write(tmp_path / "raw.jsonl", [*others, *essays([6.5] * 30)])
    with pytest.raises(DataError, match="30 of 30 records of the task fluency would be dropped"):
        prepare([source], tmp_path / "out")


def test_duplicates_and_what_is_too_short_count_towards_no_limit(tmp_path: Path) -> None:
    same = [{"task": "grammar", "input": "Same text", "output": "Right."}] * 90
    short = [{"task": "grammar", "input": f"a{n}", "output": "Right."} for n in range(90)]
    source = write(tmp_path / "raw.jsonl", [*same, *short])
    report = prepare([source], tmp_path / "out", max_dropped=0, minimum_characters=5)
    assert report["records"]["kept"] == 1


def test_all_rows_bad_says_so_whatever_the_limit(tmp_path: Path) -> None:
    source = write(tmp_path / "raw.jsonl", [{"task": "grammar"}, [1], {"task": "nope"}])
    with pytest.raises(DataError) as caught:
        prepare([source], tmp_path / "out", max_bad=1.0)
    text = str(caught.value)
    assert "3 are bad" in text
    assert f"{source}:2: a record is an object" in text
    assert "the input is empty" not in text


def test_long_reasons_are_bounded() -> None:
    losses = DroppedRecords()
    losses.add("grammar", "invalid: output has the unknown key " + "x" * 10_000, "a:1")
    [(_, reason)] = losses.counts
    assert len(reason) < 210
    assert reason.startswith("invalid: output has the unknown key")
    assert shortened("short") == "short"


def test_long_reasons_stay_bounded_in_the_report(tmp_path: Path) -> None:
    rows = [{"task": "x" * 5000, "input": "a", "output": "b"}]
    rows += [{"task": "vocabulary", "input": f"w{n}", "output": "y" * 9000} for n in range(3)]
    rows += [{"task": "vocabulary", "input": f"v{n}", "output": "A1"} for n in range(9)]
    source = write(tmp_path / "raw.jsonl", rows)
    report = prepare([source], tmp_path / "out", max_bad=0.5)
    assert len(json.dumps(report)) < 4000
