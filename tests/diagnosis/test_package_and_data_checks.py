"""Versions outside of their ranges; records that teach the wrong thing."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from lexitrain.diagnosis.preflight.data_checks import answers_check, leakage_check, read_records
from lexitrain.diagnosis.preflight.package_checks import ranges_check
from lexitrain.tasks import registry
from tests.small_runs import records, write_data

REQUIRED = [
    "transformers<6,>=5.17",
    "peft>=0.19",
    "bitsandbytes>=0.49",
    'datasets>=4.0; extra == "hub"',
]


def version_of(**installed: str):
    def look_up(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return look_up


def test_versions_within_their_ranges_pass_and_extras_are_not_asked_for():
    check = ranges_check(
        REQUIRED, version_of(transformers="5.23.0", peft="0.21", bitsandbytes="0.50.2")
    )
    assert check.verdict == "ok"


def test_a_clash_names_both_versions_and_the_command():
    check = ranges_check(REQUIRED, version_of(transformers="4.57.1", peft="0.21"))
    assert check.verdict == "warn"
    assert "transformers is 4.57.1 (needed: <6,>=5.17)" in check.found
    assert "bitsandbytes is not installed" in check.found
    assert "pip install 'transformers<6,>=5.17' 'bitsandbytes>=0.49'" in check.fix


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def test_clean_data_pass(prepared: Path):
    read = read_records(prepared, registry(), ())
    assert read.count == {"train": 40, "validation": 8}
    assert answers_check(read).verdict == leakage_check(read).verdict == "ok"


def test_a_prompt_on_two_sides_is_told_with_its_place(prepared: Path):
    with (prepared / "validation.jsonl").open("a", encoding="utf-8") as file:
        for record in records(3):
            file.write(record.to_json() + "\n")
    check = leakage_check(read_records(prepared, registry(), ()))
    assert check.verdict == "warn"
    assert "3 of 11 in validation (first: validation.jsonl:9)" in check.found


def test_answers_that_are_none_are_counted_by_task(prepared: Path):
    line = {
        "task": "grammar",
        "input": "",
        "metadata": {},
        "messages": [
            {"role": "user", "content": "Is this right?"},
            {"role": "assistant", "content": "Yes, it is."},
        ],
    }
    with (prepared / "train.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for _ in range(4))
    check = answers_check(read_records(prepared, registry(), ()))
    assert check.verdict == "warn"
    assert "grammar: 4 of 30" in check.found
    assert answers_check(read_records(prepared, registry(), ("fluency",))).verdict == "ok"
