"""The adapter folder and its card."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import DataSummary, Run
from lexitrain.training.final_adapter import CardFacts, model_card, portable_name, write_adapter
from tests.tiny import tiny_tokenizer

DATA = DataSummary(
    folder="/home/me/data",
    files={},
    samples={"train": {"grammar": 26}, "validation": {"grammar": 6}},
    skipped={"train": 2},
    truncated={"train": 3},
    token_lengths={},
    rendered_sha256="",
)
FACTS = CardFacts(90, 100, 2.0, 0.5, 12.0, {"device": "cpu", "versions": {"torch": "2.13"}})


def test_the_card_says_what_the_adapter_is_and_no_path(tmp_path: Path) -> None:
    base = tmp_path / "my-base"
    base.mkdir()
    recipe = load_recipe(
        "fast",
        [
            f"model.base={base}",
            f"model.adapter={tmp_path}/start",
            f"checkpoints.mirror={tmp_path}/mirror",
            f"data.custom_tasks=[{tmp_path}/mine.py, 'package.tasks:Mine']",
        ],
    )
    card = model_card(recipe, DATA, FACTS)
    assert str(tmp_path) not in card
    assert DATA.folder not in card
    for said in (
        "base_model: my-base",
        "step 90 of 100",
        "2.0000 before training, 0.5000",
        "| grammar | 26 | 6 |",
        "torch 2.13",
        "3 training samples; 2 records",
        "mine.py",
        "package.tasks:Mine",
    ):
        assert said in card


def test_nano_and_hub_ids_keep_their_names() -> None:
    assert portable_name("nano") == "nano"
    assert portable_name("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"


def test_an_adapter_folder_is_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    recipe = load_recipe("demo")
    write_adapter(run, {"weights": b"old"}, tiny_tokenizer(), recipe, DATA, FACTS)

    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:  # one file of the new folder is written then
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_adapter(run, {"weights": b"new"}, tiny_tokenizer(), recipe, DATA, FACTS)
    monkeypatch.undo()
    assert calls == 2
    assert (run.adapter / "weights").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["adapter"]

    write_adapter(run, {"weights": b"new"}, tiny_tokenizer(), recipe, DATA, FACTS)
    assert (run.adapter / "weights").read_bytes() == b"new"
    assert {"tokenizer.json", "README.md"} <= {each.name for each in run.adapter.iterdir()}
