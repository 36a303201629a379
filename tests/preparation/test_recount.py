"""What `prepare` says it kept, dropped and refused, and where, against a count that knows how the rows were made."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from lexitrain.preparation import prepare


def plain(text: str, answer: Any) -> dict[str, Any]:
    return {"task": "explanation", "input": text, "output": answer}


def messages(text: str, answer: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return {"task": "explanation", "messages": turns}


def sharegpt(text: str, answer: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": text}, {"from": "gpt", "value": answer}]
    return {"task": "explanation", "conversations": turns}


def alpaca(text: str, answer: Any) -> dict[str, Any]:
    return {"instruction": text, "input": "", "output": answer}


def completion(text: str, answer: Any) -> dict[str, Any]:
    return {"task": "explanation", "prompt": text, "completion": answer}


def write(path: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Writes the rows; returns the place of each."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
        return [f"{path}:1, element {number}" for number in range(1, len(rows) + 1)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return [f"{path}:{number}" for number in range(1, len(rows) + 1)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        for row in rows:
            cells = {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
            writer.writerow(cells)
    return [f"{path}:{number}" for number in range(2, len(rows) + 2)]


@pytest.mark.parametrize("form", [plain, messages, sharegpt, alpaca, completion])
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_every_row_is_accounted_for(tmp_path: Path, form: Any, ending: str) -> None:
    made = random.Random(form.__name__ + ending)
    rows, fates = [], []
    for number in range(120):
        fate = made.choice(["kept", "kept", "kept", "empty", "bad"])
        answer: Any = {"kept": f"answer {number}", "empty": "", "bad": [number]}[fate]
        row = form(f"question number {number}", answer)
        if fate == "bad" and (form is plain or ending == "csv"):
            row = form(f"question number {number}", f"answer {number}") | {"rejected": "x"}
            if ending == "csv":
                row.pop("rejected")
                row |= {"label": "false"} if form is not plain else {"task": "no such task"}
        rows.append(row)
        fates.append(fate)
    places = write(tmp_path / f"a.{ending}", rows)
    report = prepare(
        [str(tmp_path / f"a.{ending}")], tmp_path / "out", task="explanation", max_bad=0.9
    )
    bad = [place for place, fate in zip(places, fates, strict=True) if fate == "bad"]
    assert [
        line.rpartition(": ")[0][: len(p)]
        for line, p in zip(report["bad_records"], bad, strict=True)
    ] == bad
    assert report["records"] == {
        "read": len(rows),
        "bad": len(bad),
        "dropped": fates.count("empty"),
        "kept": fates.count("kept"),
    }
    assert report["tasks"]["explanation"]["dropped"] == {"empty output": fates.count("empty")}
    written = "".join(
        (tmp_path / "out" / f"{split}.jsonl").read_text() for split in report["splits"]
    )
    for number, fate in enumerate(fates):
        assert (f'"answer {number}"' in written) == (fate == "kept")
