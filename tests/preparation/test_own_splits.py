from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lexitrain.preparation.own_splits import UNNAMED, own_split
from lexitrain.preparation.pipeline import prepare
from lexitrain.records.chunk import Chunk
from lexitrain.records.prepared import SPLITS, read_split, split_file


def rows(first: int, count: int, **metadata: Any) -> list[dict[str, Any]]:
    return [
        {"task": "grammar", "input": f"Sentence {n} is here .", "output": f"It is {n}."}
        | ({"metadata": metadata} if metadata else {})
        for n in range(first, first + count)
    ]


def write(path: Path, found: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    return str(path)


def inputs(folder: Path) -> list[set[str]]:
    return [{record.input for record in read_split(split_file(folder, split))} for split in SPLITS]


@pytest.mark.parametrize(
    ("file", "split", "expected"),
    [
        ("name[train]", "train", 0),
        ("name[validation_matched]", "validation_matched", 1),
        ("train.jsonl", None, 0),
        ("ABCN.dev.gold.bea19.m2", None, 1),
        ("data/test/part-1.jsonl", None, 2),
        ("essays_TEST.csv", None, 2),
        ("contest.jsonl", None, UNNAMED),
        ("train_test.jsonl", None, UNNAMED),
        ("raw.jsonl", None, UNNAMED),
        ("test/train-00000-of-00001.parquet", None, 0),
    ],
)
def test_the_split_that_a_source_names(file: str, split: str | None, expected: int) -> None:
    assert own_split(Chunk(file, 0, split=split)) == expected


def test_the_sources_own_splits_stay_and_what_leaks_leaves_train(tmp_path: Path) -> None:
    train = [
        *rows(0, 60),
        *rows(200, 1),  # also in test
        {"task": "fluency", "input": "sentence 201 is here", "output": "0.5"},  # its text, too
        *rows(300, 1),  # also in validation
    ]
    sources = [
        write(tmp_path / "in" / "train.jsonl", train),
        write(tmp_path / "in" / "dev.jsonl", [*rows(300, 9), *rows(205, 1)]),
        write(tmp_path / "in" / "test.jsonl", rows(200, 10)),
    ]
    report = prepare(sources, tmp_path / "out")
    written = inputs(tmp_path / "out")
    assert written[0] == {row["input"] for row in rows(0, 60)}
    assert written[1] == {row["input"] for row in rows(300, 9)}
    assert written[2] == {row["input"] for row in rows(200, 10)}
    assert report["own_splits"] == {
        "found": {"train": 63, "validation": 10, "test": 10},
        "used": True,
        "on_two_sides": {
            "in train and in test": 2,
            "in train and in validation": 1,
            "in validation and in test": 1,
        },
    }
    assert report["records"]["read"] == report["records"]["kept"] + report["records"]["dropped"]
    assert prepare([str(tmp_path / "in")], tmp_path / "folder")["splits"] == report["splits"]


def test_a_missing_split_is_drawn_from_what_trains(tmp_path: Path) -> None:
    sources = [
        write(tmp_path / "train.jsonl", rows(0, 100)),
        write(tmp_path / "more.jsonl", rows(100, 100)),
        write(tmp_path / "test.jsonl", rows(500, 30)),
    ]
    prepare(sources, tmp_path / "out")
    train, validation, test = inputs(tmp_path / "out")
    assert test == {row["input"] for row in rows(500, 30)}
    assert len(validation) == 20
    assert len(train) == 180


def test_a_single_split_and_new_splits_are_split_anew_and_said(tmp_path: Path) -> None:
    only = write(tmp_path / "test.jsonl", rows(0, 100))
    report = prepare([only], tmp_path / "a")
    assert report["own_splits"] == {"found": {"test": 100}, "used": False, "on_two_sides": {}}
    assert [len(side) for side in inputs(tmp_path / "a")] == [80, 10, 10]
    train = write(tmp_path / "train.jsonl", rows(100, 100))
    report = prepare([only, train], tmp_path / "b", own_splits=False)
    assert not report["own_splits"]["used"]
    assert [len(side) for side in inputs(tmp_path / "b")] == [160, 20, 20]


def test_a_saved_data_sets_splits_are_used(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {
        name: datasets.Dataset.from_list(rows(first, 40))
        for name, first in (("train", 0), ("validation", 100), ("test", 120))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    report = prepare([str(tmp_path / "saved")], tmp_path / "out")
    train, validation, test = inputs(tmp_path / "out")
    assert test == {row["input"] for row in rows(120, 40)}
    assert validation == {row["input"] for row in rows(100, 20)}
    assert train == {row["input"] for row in rows(0, 40)}
    assert report["own_splits"]["on_two_sides"] == {"in validation and in test": 20}
