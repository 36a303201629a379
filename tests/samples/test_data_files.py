"""The files of a data folder are recognized, and a folder that was tampered with is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import DataError
from lexitrain.preparation.pipeline import prepare
from lexitrain.samples.data_files import file_facts
from lexitrain.synthetic import generate


@pytest.mark.parametrize("wrong", ["edited", "gone", "cut"])
def test_files_that_their_report_does_not_describe_are_refused(tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "data"
    source = tmp_path / "raw.jsonl"
    source.write_text("".join(record.to_json() + "\n" for record in generate(60, 1)))
    prepare([str(source)], folder)
    (tmp_path / "data" / ".data.partial-elsewhere-7").mkdir()  # a leftover alone is no reason
    before = file_facts(folder)
    path = folder / "validation.jsonl"
    if wrong == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if wrong == "cut" else b"")
    with pytest.raises(DataError, match=r"validation\.jsonl is .*edited.*in part") as caught:
        file_facts(folder)
    assert "delete report.json" in str(caught.value)
    (folder / "report.json").unlink()
    assert file_facts(folder) != before
