"""The numbers of the documents' tables are those of the saved results."""

from __future__ import annotations

from benchmarks.tables import BLOCK, DOCUMENTS, TABLES, filled, table


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
