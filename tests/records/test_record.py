from __future__ import annotations

import json

from lexitrain.records.record import Record

RECORDS = [
    Record("grammar", "He go .", {"corrected": "He goes .", "errors": []}, {"group": "a"}),
    Record("explanation", "Lỗi\nhai dòng", "Động từ", {}),
    Record(
        "dialogue",
        "Hi",
        None,
        {"id": 3},
        ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}),
    ),
]


def test_a_line_has_a_stable_key_order_and_readable_characters() -> None:
    line = RECORDS[1].to_json()
    assert list(json.loads(line)) == ["task", "input", "output", "metadata"]
    assert "Lỗi" in line
    assert "\n" not in line
    assert list(json.loads(RECORDS[2].to_json())) == ["task", "input", "messages", "metadata"]
