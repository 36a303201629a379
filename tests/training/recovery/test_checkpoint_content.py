"""Optimizer state and adapter come back bit for bit; random generators are not needed for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lexitrain.batching.sample_order import Cursor
from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.checkpoints import Checkpoints, read_checkpoint
from lexitrain.step import build_optimizer, seed_step
from lexitrain.training import train
from lexitrain.training.metrics import Window
from lexitrain.training.recovery.checkpoint_content import (
    AdapterFiles,
    checkpoint_files,
    restore,
)
from lexitrain.training.recovery.state import TrainingState
from tests.tiny import tiny_model
from tests.training.test_train import assert_equal_runs


def built(optimizer: str, seed: int = 1) -> tuple[Any, Any]:
    recipe = load_recipe("demo", ["lora.rank=128", f"optimizer.name={optimizer}"])
    model = attach_adapter(tiny_model(), recipe.lora, seed)
    return model, build_optimizer(model.parameters(), recipe.optimizer)


def move(optimizer: Any, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def assert_same_state(one: Any, other: Any) -> None:
    for mine, theirs in zip(one.state.values(), other.state.values(), strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            if isinstance(value, torch.Tensor):
                assert value.dtype == theirs[key].dtype
                assert torch.equal(value, theirs[key])
            else:
                assert value == theirs[key]


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit"])
def test_state_of_an_optimizer_comes_back_and_goes_on_alike(name: str, tmp_path: Path) -> None:
    if name != "adamw":
        pytest.importorskip("bitsandbytes")
    model, optimizer = built(name)
    move(optimizer, 3, seed=1)
    state = TrainingState(step=3, window=Window(steps=1, loss_sum=1 / 3), best_loss=0.1, rung=2)
    files = checkpoint_files(AdapterFiles(model, "nano"), model, optimizer, state, Cursor(3, 1, 1))
    path = Checkpoints(tmp_path, keep=1).save(3, files)

    other_model, other = built(name, seed=2)
    assert restore(read_checkpoint(path), other_model, other) == state
    assert_same_state(optimizer, other)

    move(optimizer, 2, seed=9)
    move(other, 2, seed=9)
    assert_same_state(optimizer, other)
    for mine, theirs in zip(model.parameters(), other_model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_names_parameters_and_holds_no_pickle(tmp_path: Path) -> None:
    model, optimizer = built("adamw")
    files = checkpoint_files(
        AdapterFiles(model, "nano"), model, optimizer, TrainingState(), Cursor(0, 0, 0)
    )
    assert sorted(files) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    assert (
        b"layers.0.self_attn.q_proj.lora_A.default.weight/exp_avg" in files["optimizer.safetensors"]
    )
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "nano"
    state = json.loads(files["state.json"])
    assert state["cursor"] == {"step": 0, "epoch": 0, "position": 0}
    assert state["standing"]["rung"] == 0


@pytest.mark.slow
def test_a_resumed_run_needs_no_state_of_a_random_generator_even_with_dropout(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(["lora.dropout=0.2", "model.precision=fp32"])
    train(recipe, data_dir, tmp_path / "straight")
    run = tmp_path / "stopped"
    for step in (3, 11, 20, 32):
        with torch.random.fork_rng(devices=[]):
            # Whatever the process has drawn before, from any generator.
            torch.manual_seed(step)
            torch.rand(step)
            random.seed(step)
            np.random.seed(step)
            train(recipe, data_dir, run, stop_after_step=step)
    train(recipe, data_dir, run)
    assert_equal_runs(tmp_path / "straight", run)
    without = train(recipe_of(), data_dir, tmp_path / "without")
    dropped = train(recipe, data_dir, tmp_path / "again")
    assert without.validation_loss != dropped.validation_loss  # there was dropout to get wrong


def test_the_seed_of_a_step_depends_on_seed_and_step_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        drawn: dict[tuple[int, int], float] = {}
        for seed, step in ((1, 1), (1, 2), (2, 1), (2**32 - 1, 10**6)):
            seed_step(seed, step)
            drawn[seed, step] = torch.rand(1).item()
        torch.rand(7)
        seed_step(1, 2)
        assert torch.rand(1).item() == drawn[1, 2]
        assert len(set(drawn.values())) == 4
