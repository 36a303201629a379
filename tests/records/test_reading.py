from __future__ import annotations

import json
from pathlib import Path

from lexitrain.records.record import BadRecord
from tests.records.examples import ROWS, read, write


def test_reading_refuses_what_preparing_refuses(tmp_path: Path) -> None:
    half = json.dumps(ROWS[0] | {"input": "half \ud800"})
    deep = "[" * 100_000
    text = json.dumps(ROWS[0] | {"input": "deep", "output": deep})
    first, second = read(write(tmp_path / "a.jsonl", half + "\n" + text + "\n"))
    assert isinstance(first, BadRecord)
    assert first.reason.startswith("half a surrogate pair")
    assert isinstance(second, BadRecord)
    assert second.reason == "nested too deeply"
