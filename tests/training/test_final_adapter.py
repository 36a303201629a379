"""The adapter folder and its card."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import DataSummary, Run
from lexitrain.training.final_adapter import CardFacts, model_card, portable_name, write_adapter
from lexitrain.training.recovery.checkpoint_content import AdapterFiles
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


def code(card: str) -> str:
    return card.partition("```python\n")[2].partition("```")[0]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_the_cards_code_loads_the_adapter_on_nano(tmp_path: Path) -> None:
    from lexitrain.models import attach_adapter, load_base, load_tokenizer

    recipe = load_recipe("demo", ["lora.rank=4"])
    model = attach_adapter(
        load_base(recipe.model, device=torch.device("cpu"), dtype=torch.float32), recipe.lora, 1
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.01)
    files = AdapterFiles(model, "nano").contents()
    run = Run(tmp_path / "run")
    write_adapter(run, files, load_tokenizer("nano"), recipe, DATA, FACTS)
    card = (run.adapter / "README.md").read_text("utf-8")
    assert "no model of the Hub" in card
    found: dict[str, Any] = {}
    exec(code(card).replace("ADAPTER_FOLDER", str(run.adapter)), found)
    ids = found["tokenizer"]("She go to school.", return_tensors="pt").input_ids
    with torch.no_grad():
        expected, logits = model.eval()(ids).logits, found["model"].float()(ids).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.base=Qwen/Qwen2.5-0.5B-Instruct"], "('Qwen/Qwen2.5-0.5B-Instruct')"),
        (
            ["model.base=Qwen/Qwen2.5-0.5B-Instruct", "model.revision=abc"],
            "('Qwen/Qwen2.5-0.5B-Instruct', revision='abc')",
        ),
    ],
)
def test_the_cards_code_names_base_and_revision(settings: list[str], said: str) -> None:
    assert f"AutoModelForCausalLM.from_pretrained{said}" in code(
        model_card(load_recipe("fast", settings), DATA, FACTS)
    )


def test_the_card_counts_samples_as_the_task_weights_make_them() -> None:
    facts = replace(FACTS, samples_per_epoch={"grammar": 13, "fluency": 28}, why_last="of a test")
    card = model_card(load_recipe("fast"), DATA, facts)
    assert "| grammar | 26 | 6 | 13 |" in card
    assert "It is the last one: of a test." in card
