"""The numbers of the documents' tables are those of the saved results."""

from __future__ import annotations

import re

from benchmarks.tables import BLOCK, DOCUMENTS, TABLES, compare, filled, result, table


def test_the_tables_of_the_document_are_those_of_the_results():
    texts = [each.read_text(encoding="utf-8") for each in DOCUMENTS]
    shown = [name for text in texts for _, name, _ in BLOCK.findall(text)]
    assert sorted(shown) == sorted(TABLES)
    assert list(map(filled, texts)) == texts, "run python -m benchmarks.tables"


def test_a_changed_number_is_put_right():
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    assert filled(text.replace("samples/s", "samples/h")) == text


def test_a_table_has_its_head_and_rows():
    assert table(("a", "b"), [[1, 2]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"


def test_no_ratio_over_one_or_two_steps_is_told():
    found = result("compare_cpu")
    lines = {
        row[1]: line for line in compare().splitlines() if (row := re.match(r"\| `(\w+)`", line))
    }
    assert set(lines) == set(found["competitors"])
    few = {name for name, row in found["competitors"].items() if row["timed_steps"] < 3}
    assert few
    assert {name for name, line in lines.items() if "| – |" in line} == few
    for name in few:
        assert f"{found['ratios'][f'fast / {name}']['samples_per_second']}" not in lines[name]
