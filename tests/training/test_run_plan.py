"""What training takes from the rehearsal, and what it says of it at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import lexitrain.training.run_plan as foresight_module
from lexitrain.errors import RunError
from lexitrain.models.adapter import WEIGHTS_FILE
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.step import TrainingStep
from lexitrain.training import train
from tests.small_runs import write_data
from tests.tiny import tiny_model, tiny_tokenizer

MakeRecipe = Callable[[Sequence[str]], Recipe]


@pytest.fixture(scope="session")
def wide_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose step needs some megabytes, so that a limit in GB can be set between two settings."""
    folder = tmp_path_factory.mktemp("wide") / "base"
    tiny_model(hidden=256).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def short_recipe(recipe_of: MakeRecipe, wide_base: Path) -> MakeRecipe:
    """One epoch of 8 steps on the wide base."""

    def make(overrides: Sequence[str] = ()) -> Recipe:
        return recipe_of(
            [f"model.base={wide_base}", "schedule.epochs=1", "validation.limit=4", *overrides]
        )

    return make


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[TrainingStep]:
    """The training steps that were built."""
    built: list[TrainingStep] = []
    original = TrainingStep.__init__

    def noted(self: TrainingStep, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        built.append(self)

    monkeypatch.setattr(TrainingStep, "__init__", noted)
    return built


def real(steps: list[TrainingStep]) -> list[TrainingStep]:
    """Those that were not rehearsed."""
    return [step for step in steps if step.model.device.type == "cpu"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapter" / WEIGHTS_FILE)


def test_what_fits_gives_nothing_up(
    short_recipe: MakeRecipe, data_dir: Path, tmp_path: Path, steps: list[TrainingStep]
) -> None:
    result = train(short_recipe(), data_dir, tmp_path / "run")
    plan = Run(tmp_path / "run").read_plan()
    assert plan["fits"]
    assert plan["choices"] == {
        "model.quantization": "none",
        "step.gradient_checkpointing": "never",
    }
    assert [(s.recomputes, s.quantized, s.step_layout.token_budget) for s in real(steps)] == [
        (False, False, None)
    ]
    # A CPU has no allocator whose peak would compare with the predicted one.
    assert set(result.foresight) == {"step_seconds", "hours"}
    for pair in result.foresight.values():
        assert pair["predicted"] > 0
        assert pair["measured"] >= 0
    finished = Run(tmp_path / "run").events()[-1]
    assert finished.details["foresight"] == result.foresight
    again = train(short_recipe(), data_dir, tmp_path / "run")
    assert again.foresight == result.foresight


def test_a_limit_is_met_without_changing_the_gradient(
    short_recipe: MakeRecipe, data_dir: Path, tmp_path: Path, steps: list[TrainingStep]
) -> None:
    train(short_recipe(), data_dir, tmp_path / "free")
    peak = Run(tmp_path / "free").read_plan()["memory_gb"]["peak"]
    steps.clear()
    limited = [f"step.memory_limit={0.8 * peak}"]
    train(short_recipe(limited), data_dir, tmp_path / "limited")
    plan = Run(tmp_path / "limited").read_plan()
    assert plan["choices"]["step.gradient_checkpointing"] == "always"
    assert plan["choices"]["model.quantization"] == "none"
    assert plan["memory_limit_from"] == "step.memory_limit"
    assert plan["memory_gb"]["peak"] <= 0.8 * peak
    assert [step.recomputes for step in real(steps)] == [True]
    one, other = weights(tmp_path / "free"), weights(tmp_path / "limited")
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-5)


def test_what_recordings_hold_is_counted_before_a_run_begins(
    short_recipe: MakeRecipe, data_dir: Path, tmp_path: Path, steps: list[TrainingStep]
) -> None:
    """A limit that the plain step meets and the recorded one does not, in the run itself."""
    settings = ["step.attention=dense", "step.micro_batch=4"]
    recorded = [*settings, "step.graphs=always"]
    plans = {}
    for name, overrides in (("plain", settings), ("recorded", recorded)):
        train(short_recipe(overrides), data_dir, tmp_path / name)
        plans[name] = Run(tmp_path / name).read_plan()
        assert plans[name]["choices"]["step.gradient_checkpointing"] == "never"
    need = plans["recorded"]["memory_gb"]["device_total"]
    assert need > plans["plain"]["memory_gb"]["device_total"]
    limit = [f"step.memory_limit={need - 1e-3}"]
    steps.clear()
    train(short_recipe([*recorded, *limit]), data_dir, tmp_path / "limited")
    assert [step.recomputes for step in real(steps)] == [True]
    one, other = weights(tmp_path / "recorded"), weights(tmp_path / "limited")
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-5)


def test_a_pool_is_not_compared_with_what_the_allocator_counts(
    recipe_of: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    memory = {"peak": 5.0, "graphs": 2.0}
    plan = foresight_module.RunPlan(recipe_of([]), {"step_seconds": 1.0, "memory_gb": memory})
    assert plan.beside(10, 12.0, 3.1)["peak_gb"] == {"predicted": 3.0, "measured": 3.1}
    del memory["graphs"]
    assert plan.beside(10, 12.0, 3.1)["peak_gb"] == {"predicted": 5.0, "measured": 3.1}


@pytest.mark.slow
def test_only_a_limit_that_nothing_else_meets_takes_four_bits(
    tmp_path: Path, short_recipe: MakeRecipe, steps: list[TrainingStep]
) -> None:
    data = write_data(tmp_path / "data")
    settings = ["step.gradient_checkpointing=always", "step.micro_batch=1"]
    train(short_recipe(settings), data, tmp_path / "free")
    memory = Run(tmp_path / "free").read_plan()["memory_gb"]
    limit = memory["peak"] - 0.3 * memory["weights"]
    train(short_recipe([*settings, f"step.memory_limit={limit}"]), data, tmp_path / "run")
    assert Run(tmp_path / "run").read_plan()["choices"]["model.quantization"] == "nf4"
    assert steps[-1].quantized


def test_a_resumed_run_keeps_its_choices_whatever_is_free_now(
    short_recipe: MakeRecipe,
    data_dir: Path,
    tmp_path: Path,
    steps: list[TrainingStep],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = short_recipe()
    train(recipe, data_dir, tmp_path / "straight")
    train(recipe, data_dir, tmp_path / "run", stop_after_step=3)
    before = Run(tmp_path / "run").read_plan()
    monkeypatch.setattr(foresight_module, "free_memory", lambda _: 1)
    steps.clear()
    train(recipe, data_dir, tmp_path / "run")
    assert [(step.recomputes, step.quantized) for step in steps] == [(False, False)]
    assert Run(tmp_path / "run").read_plan() == before
    files = [tmp_path / name / "adapter" / WEIGHTS_FILE for name in ("straight", "run")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [("choices", 7), ("choices", {"a": 1}), ("memory_gb", "x"), ("step_seconds", [1])],
)
def test_a_plan_that_nobody_wrote_is_refused(
    recipe_of: MakeRecipe, tmp_path: Path, field: str, value: object
) -> None:
    recipe, data, run = (
        recipe_of(["schedule.epochs=1"]),
        write_data(tmp_path / "data"),
        tmp_path / "r",
    )
    train(recipe, data, run, stop_after_step=2)
    plan = Run(run).read_plan()
    Run(run).write_plan({**plan, field: value})
    with pytest.raises(RunError, match="not the plan of a run"):
        train(recipe, data, run)
    Run(run).write_plan(plan)
    assert train(recipe, data, run).state == "finished"


def test_what_cannot_fit_is_said_and_left_to_the_ladder(
    short_recipe: MakeRecipe, data_dir: Path, tmp_path: Path
) -> None:
    result = train(short_recipe(["step.memory_limit=1e-6"]), data_dir, tmp_path / "run")
    assert result.state == "finished"
    planned = next(each for each in Run(tmp_path / "run").events() if each.event == "planned")
    assert planned.details["fits"] is False
