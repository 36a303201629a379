from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lexitrain.errors import DataError, MissingExtra
from lexitrain.records import datasets_reader
from lexitrain.records.sources import chunks
from tests.records.examples import RECORDS, ROWS, as_table, read, write


def test_a_dataset_folder_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, rows in (("learners", ROWS[:4]), ("more", ROWS[4:5]), ("unused", ROWS[5:])):
        write(folder / f"{name}.jsonl", "\n".join(json.dumps(row) for row in rows))
    card = "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n"
    card += "  - {split: train, path: learners.jsonl}\n  - {split: test, path: more.jsonl}\n---\n"
    write(folder / "README.md", card)
    assert read(folder) == RECORDS[:5]
    saved = tmp_path / "saved"
    datasets.Dataset.from_list([as_table(row) for row in ROWS]).save_to_disk(saved)
    assert read(saved) == RECORDS
    (saved / "state.json").write_text("{}")
    with pytest.raises(DataError, match="cannot read this data set"):
        read(saved)


def test_chunks_name_their_split_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": [{"n": n, "no": None} for n in range(5)], "test": [{"n": 9}]}
    library = SimpleNamespace(load_dataset=lambda _name, **_how: splits)
    monkeypatch.setattr(datasets_reader, "import_module", lambda _name: library)
    monkeypatch.setattr(datasets_reader, "CHUNK_ROWS", 2)
    found = [(chunk.file, chunk.rows) for chunk in chunks("somebody/corpus")]
    assert found == [
        ("somebody/corpus[train]", [(1, {"n": 0}), (2, {"n": 1})]),
        ("somebody/corpus[train]", [(3, {"n": 2}), (4, {"n": 3})]),
        ("somebody/corpus[train]", [(5, {"n": 4})]),
        ("somebody/corpus[test]", [(1, {"n": 9})]),
    ]


def test_without_the_extra_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(datasets_reader, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"lexitrain\[hub\]"):
        read("somebody/corpus")
