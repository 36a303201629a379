from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import DataError
from lexitrain.evaluation.held_out import read_held_out
from lexitrain.records.record import Record
from lexitrain.tasks import registry
from tests.taught import RECORDS, save_records

TASKS = registry()


def test_a_folder_is_scored_on_its_test_split_with_its_training_split_beside(tmp_path: Path):
    save_records(tmp_path / "test.jsonl")
    train = save_records(tmp_path / "train.jsonl", RECORDS[:2])
    data = read_held_out(tmp_path, TASKS)
    assert (data.name, data.train_file, data.train) == ("test", train, RECORDS[:2])
    assert data.records == tuple(enumerate(RECORDS))


def test_a_file_alone_uses_the_runs_data_or_itself(tmp_path: Path):
    (tmp_path / "run_data").mkdir()
    file = save_records(tmp_path / "mine.jsonl")
    alone = read_held_out(file, TASKS, task="grammar")
    assert (alone.train_file, alone.train, alone.name) == (file, (RECORDS[4],), "mine-grammar")
    assert alone.records == ((4, RECORDS[4]),)
    train = save_records(tmp_path / "run_data" / "train.jsonl")
    assert read_held_out(file, TASKS, run_data=tmp_path / "run_data").train_file == train
    assert read_held_out(file, TASKS, run_data=tmp_path / "gone").train_file == file


def test_a_limit_keeps_every_tasks_share_and_the_order(tmp_path: Path):
    records = tuple(
        Record(task, f"{task} {i}", "x", {})
        for task, count in (("grammar", 60), ("dialogue", 30), ("fluency", 10))
        for i in range(count)
    )
    data = read_held_out(save_records(tmp_path / "d.jsonl", records), TASKS, limit=20)
    tasks = [record.task for _, record in data.records]
    assert [tasks.count(t) for t in ("grammar", "dialogue", "fluency")] == [12, 6, 2]
    rows = [row for row, _ in data.records]
    assert rows == sorted(set(rows))
    assert data.name == "d-20"
    assert len(read_held_out(tmp_path / "d.jsonl", TASKS, limit=1000).records) == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"task": "grammar", "input": "a"', ":1: This is no record"),
        ('{"task": "poem", "input": "a", "output": "b"}', ":1: This is no record"),
        ("", "no record to score"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, message: str):
    file = tmp_path / "bad.jsonl"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_held_out(file, TASKS)
    assert message in str(caught.value)


def test_a_missing_file_or_task_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="no such file to evaluate on"):
        read_held_out(tmp_path, TASKS)
    file = save_records(tmp_path / "d.jsonl", RECORDS[:2])
    with pytest.raises(DataError, match="No record is of task grammar"):
        read_held_out(file, TASKS, task="grammar")
