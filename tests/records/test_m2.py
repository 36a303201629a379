from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lexitrain.records.m2 import m2_rows
from lexitrain.records.record import Record
from tests.records.examples import read, write

FILE = """\
S He go to school yesterday .
A 1 2|||R:VERB:TENSE|||went|||REQUIRED|||-NONE-|||0
A 5 5|||M:PUNCT|||, sadly|||REQUIRED|||-NONE-|||0
A 1 4|||U:OTHER|||-NONE-|||REQUIRED|||-NONE-|||1

S It is right .
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0

S Nobody annotated this .


X no block
S broken
A 1 9|||R:X|||y|||REQUIRED|||-NONE-|||0

S bad fields
A 1 2|||R:X

S right again
"""


def test_edits_are_applied_and_every_annotator_is_a_reference() -> None:
    rows = list(m2_rows(FILE.splitlines(keepends=True)))
    line, first = rows[0]
    assert line == 1
    assert first == {
        "task": "grammar",
        "input": "He go to school yesterday .",
        "output": {
            "corrected": "He went to school yesterday , sadly .",
            "errors": [
                {"type": "R:VERB:TENSE", "span": "go"},
                {"type": "M:PUNCT", "span": "yesterday"},
            ],
        },
        "metadata": {
            "tokenised": True,
            "references": ["He went to school yesterday , sadly .", "He yesterday ."],
        },
    }
    for row, text in ((rows[1], "It is right ."), (rows[2], "Nobody annotated this .")):
        assert isinstance(row[1], dict)
        assert row[1]["output"] == {"corrected": text, "errors": []}


def test_a_malformed_block_is_a_reason_and_the_next_one_is_read() -> None:
    rows = list(m2_rows(FILE.splitlines()))
    assert [line for line, _ in rows] == [1, 6, 9, 12, 16, 19]
    assert "starts with an S line" in str(rows[3][1])
    assert "six fields" in str(rows[4][1])
    assert isinstance(rows[5][1], dict)
    out_of_range = list(m2_rows(["S a b", "A 1 9|||R|||y|||REQUIRED|||-NONE-|||0"]))
    assert "tokens 1:9 of a sentence of 2" in str(out_of_range[0][1])


def test_a_file_of_blocks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.m2", "S He go\nA 1 2|||V|||goes|||REQUIRED|||-NONE-|||0\n\nbroken\n")
    good, bad = read(path)
    assert isinstance(good, Record)
    assert good.output == {"corrected": "He goes", "errors": [{"type": "V", "span": "go"}]}
    assert str(bad) == f"{path}:4: an M2 block starts with an S line"


def block(*edits: str, sentence: str = "a b c d") -> Any:
    lines = [f"S {sentence}"] + [f"A {edit}" for edit in edits]
    [(_, row)] = m2_rows(lines)
    return row


def edit(span: str, correction: str, kind: str = "X", annotator: int = 0) -> str:
    return f"{span}|||{kind}|||{correction}|||REQUIRED|||-NONE-|||{annotator}"


def test_insertions_at_one_place_stand_in_the_order_of_the_file() -> None:
    row = block(edit("2 2", "y"), edit("0 0", "x"), edit("2 2", "z"), edit("2 3", "C"))
    assert row["output"]["corrected"] == "x a b y z C d"


@pytest.mark.parametrize("kind", ["noop", "UNK", "Um"])
def test_edits_that_change_nothing(kind: str) -> None:
    row = block(edit("0 1", "x", kind), edit("1 2", "B"))
    assert row["output"] == {"corrected": "a B c d", "errors": [{"type": "X", "span": "b"}]}


@pytest.mark.parametrize(
    ("correction", "texts"),
    [
        ("x||y", ["x b c d", "y b c d"]),
        ("x||-NONE-", ["x b c d", "b c d"]),
        ("x||", ["x b c d", "b c d"]),
        ("||x", ["b c d", "x b c d"]),
        ("", ["b c d"]),
        ("x||x", ["x b c d"]),
        ("x|y", ["x|y b c d"]),
    ],
)
def test_alternatives_are_further_references(correction: str, texts: list[str]) -> None:
    row = block(edit("0 1", correction))
    assert row["output"]["corrected"] == texts[0]
    assert row["metadata"].get("references", texts) == texts


def test_alternatives_multiply_within_bounds_and_annotators_stand_by_number() -> None:
    row = block(
        edit("0 1", "x||y"),
        edit("1 2", "p||q"),
        edit("0 1", "z", annotator=10),
        edit("0 1", "w", annotator=2),
    )
    assert row["metadata"]["references"] == [
        "x p c d", "x q c d", "y p c d", "y q c d", "w b c d", "z b c d",
    ]  # fmt: skip
    many = block(*(edit(f"{n} {n + 1}", "x||y") for n in range(40)), sentence=" ".join("a" * 40))
    assert len(many["metadata"]["references"]) == 32


def test_edits_that_overlap_and_places_outside_are_refused() -> None:
    assert "overlap at token 1" in block(edit("0 2", "x"), edit("1 3", "y"))
    assert "tokens -1:-1" in block(edit("-1 -1", "x"))
