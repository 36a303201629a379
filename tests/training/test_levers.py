"""Runs with the levers of learning: resumed to the byte, evaluated and shipped as what they learnt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from lexitrain.errors import InputError
from lexitrain.evaluation import evaluate
from lexitrain.evaluation.sources.located_model import load_model, locate_model
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.training import train
from lexitrain.training.recovery import checkpoint_content
from tests.small_runs import write_data
from tests.tiny import tiny_model
from tests.training.test_train import assert_equal_runs

RecipeOf = Callable[..., Recipe]
WEIGHTS = "adapter_model.safetensors"
TOKENS = torch.arange(16)[None]
WHOLE = "model.quantization=none"
LEVERS = {
    "rslora": ["lora.scaling=rslora"],
    "orthogonal": ["lora.init=orthogonal"],
    "pissa": [WHOLE, "lora.init=pissa", "optimizer.learning_rate=0.001"],
    "olora, rslora": [
        *(WHOLE, "lora.init=olora", "lora.scaling=rslora", "lora.alpha=32"),
        "optimizer.learning_rate=0.0005",
    ],
    "lora_plus": ["optimizer.lora_plus=4", "optimizer.learning_rate=0.001"],
    "lora_plus in 8 bits": [
        *("optimizer.lora_plus=4", "optimizer.name=adamw_8bit", "lora.rank=128"),
        "optimizer.learning_rate=0.0005",
    ],
    "a layer": ["lora.layers=[1]"],
    "all": [
        *(WHOLE, "lora.init=pissa", "lora.scaling=rslora", "lora.layers=[1]"),
        *("optimizer.lora_plus=2", "optimizer.learning_rate=0.002", "lora.dropout=0.1"),
    ],
}


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS, use_cache=False).logits


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max())


def watched(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, torch.Tensor]:
    """Content of each adapter file that is made from now on -> logits of the model that it was made of."""
    kept: dict[bytes, torch.Tensor] = {}
    contents = checkpoint_content.AdapterFiles.contents

    def watch(files: checkpoint_content.AdapterFiles) -> dict[str, bytes]:
        found = contents(files)
        model: Any = files._model  # pyright: ignore[reportPrivateUsage]
        on = model.training
        kept[found[WEIGHTS]] = logits(model)
        model.train(on)
        return found

    monkeypatch.setattr(checkpoint_content.AdapterFiles, "contents", watch)
    return kept


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
@pytest.mark.parametrize("name", LEVERS)
def test_a_stopped_run_ends_at_the_bytes_of_one_that_was_not(
    name: str,
    recipe_of: RecipeOf,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it ships is for stock PEFT, on the base as it was, the model that was trained."""
    if "8 bits" in name:
        pytest.importorskip("bitsandbytes")
    recipe = recipe_of(["schedule.epochs=2", *LEVERS[name]])
    train(recipe, data_dir, tmp_path / "one")
    train(recipe, data_dir, tmp_path / "two", stop_after_step=7)
    train(recipe, data_dir, tmp_path / "two", stop_after_step=10)
    kept = watched(monkeypatch)
    result = train(recipe, data_dir, tmp_path / "two")
    assert_equal_runs(tmp_path / "one", tmp_path / "two")
    assert result.first_loss is not None
    assert result.best_loss is not None
    assert result.best_loss < 0.9 * result.first_loss
    adapter = tmp_path / "two" / "adapter"
    trained = kept[(adapter / WEIGHTS).read_bytes()]
    stock = PeftModel.from_pretrained(tiny_model(), str(adapter))
    assert far(trained, logits(stock)) < 1e-5
    assert far(trained, logits(stock.merge_and_unload())) < 1e-5


def test_a_run_that_has_not_finished_is_evaluated_as_what_it_has_learnt(
    recipe_of: RecipeOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every checkpoint's adapter does to the base as it was what was trained, and that is what is asked and scored."""
    from lexitrain.records import TEST, split_file

    data = write_data(tmp_path / "data")
    split_file(data, TEST).write_text((data / "validation.jsonl").read_text())
    run, kept = Run(tmp_path / "run"), watched(monkeypatch)
    train(recipe_of(LEVERS["pissa"]), data, run.path, stop_after_step=12)
    located = locate_model(run.path)
    (checkpoint,) = located.unfinished
    assert checkpoint.startswith("checkpoints/best-")
    for folder in run.checkpoints.iterdir():
        assert json.loads((folder / "adapter_config.json").read_text())["r"] == 8
        trained = kept[(folder / WEIGHTS).read_bytes()]
        assert far(trained, logits(load_model(locate_model(folder)).model)) < 1e-5
        assert far(trained, logits(tiny_model())) > 1e-3
    best = kept[(run.path / checkpoint / WEIGHTS).read_bytes()]
    assert far(best, logits(load_model(located).model)) < 1e-5
    losses = [
        [scores["loss"]["value"] for scores in evaluate(model, data).to_json()["tasks"].values()]
        for model in (run.path, run.read_recipe().model.base)
    ]
    assert all(learnt < before for learnt, before in zip(*losses, strict=True))


@pytest.mark.parametrize("change", ["lora.init=orthogonal", "lora.layers=[1]"])
def test_what_the_saved_state_depends_on_cannot_change(
    change: str, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    train(recipe_of(), data_dir, tmp_path / "run", stop_after_step=1)
    for accept in (False, True):
        with pytest.raises(InputError, match=change.partition("=")[0]):
            train(recipe_of([change]), data_dir, tmp_path / "run", accept_changes=accept)


def test_scale_and_rates_go_on_changed_where_that_is_accepted(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, levers = tmp_path / "run", LEVERS["pissa"]
    changed = recipe_of([*levers, "lora.scaling=rslora", "optimizer.lora_plus=2"])
    train(recipe_of(levers), data_dir, run, stop_after_step=6)
    with pytest.raises(InputError, match=r"lora\.scaling.*optimizer\.lora_plus"):
        train(changed, data_dir, run)
    assert train(changed, data_dir, run, accept_changes=True).state == "finished"
