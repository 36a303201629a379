"""A run goes on with other settings or data when its user says so, and writes down which."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from lexitrain.errors import InputError, ModelError, RunChanged, Stopped
from lexitrain.evaluation.sources.located_model import load_model, locate_model
from lexitrain.models.location import resolve_base
from lexitrain.planning.estimate.automatic_settings import with_settings
from lexitrain.recipe.schema import Recipe, field_value
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event
from lexitrain.training import train
from lexitrain.training.environment import changes, no_longer_exact
from tests.small_runs import write_data
from tests.training.recovery.test_non_finite import nans, poison
from tests.training.test_train import assert_equal_runs

RecipeOf = Callable[..., Recipe]


def accepted(run: Path) -> list[Event]:
    return [each for each in Run(run).events() if each.event == "accepted"]


def test_a_changed_setting_is_listed_kept_and_used(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", recipe_of(["optimizer.learning_rate=0.001"])
    train(recipe_of(), data_dir, run, stop_after_step=6)
    with pytest.raises(InputError, match="--accept-changes"):
        train(other, data_dir, run)
    assert accepted(run) == []
    train(other, data_dir, run, stop_after_step=9, accept_changes=True)
    listed = accepted(run)
    assert [(each.step, each.details) for each in listed] == [
        (6, {"recipe": ["optimizer.learning_rate: 0.002 -> 0.001"]})
    ]
    assert Run(run).read_recipe() == other
    rates = {line.step: line.learning_rate for line in Run(run).metrics()}
    assert rates[6] > 0.00175
    assert rates[8] < 0.001
    assert train(other, data_dir, run).state == "finished"  # without saying it again
    assert len(accepted(run)) == 1
    with pytest.raises(InputError, match="another recipe"):
        train(recipe_of(), data_dir, run)


@pytest.mark.parametrize(
    "change", ["lora.rank=3", "lora.targets=[q_proj]", "optimizer.name=adamw_8bit"]
)
def test_what_the_saved_state_depends_on_cannot_change(
    change: str, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    train(recipe_of(), data_dir, tmp_path / "run", stop_after_step=1)
    with pytest.raises(InputError, match=change.partition("=")[0]) as caught:
        train(recipe_of([change]), data_dir, tmp_path / "run", accept_changes=True)
    assert "--fresh" in str(caught.value)
    assert Run(tmp_path / "run").read_recipe() == recipe_of()


def test_other_data_are_listed_and_their_validation_begins_anew(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", write_data(tmp_path / "other", train=50, validation=3)
    train(recipe_of(), data_dir, run, stop_after_step=11)
    with pytest.raises(InputError, match="--accept-changes"):
        train(recipe_of(), other, run)
    result = train(recipe_of(), other, run, accept_changes=True)
    assert (result.state, result.total_steps) == ("finished", 40)
    assert result.best_step is not None
    assert result.best_step > 11
    (listed,) = accepted(run)
    assert listed.step == 11
    assert listed.details["data"][0].startswith("train.jsonl changed")
    assert Run(run).read_data().samples["train"] == {"fluency": 17, "grammar": 33}
    assert train(recipe_of(), other, run).reason == "already_finished"


def test_a_finished_run_goes_on_for_more_epochs(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, longer = tmp_path / "run", recipe_of(["schedule.epochs=2"])
    assert train(recipe_of(["schedule.epochs=1"]), data_dir, run).step == 8
    result = train(longer, data_dir, run, accept_changes=True)
    assert (result.state, result.reason, result.step) == ("finished", "finished", 16)
    assert train(longer, data_dir, run).reason == "already_finished"
    shorter = train(recipe_of(["schedule.epochs=1"]), data_dir, run, accept_changes=True)
    assert (shorter.reason, shorter.step) == ("finished", 16)


@pytest.mark.slow
def test_numbers_that_are_none_may_be_cured_by_a_change(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cure = tmp_path / "run", recipe_of(["optimizer.clip=0.5"])
    poison(monkeypatch, {17})
    with pytest.raises(Stopped, match="after 3 other"):
        train(recipe_of(), data_dir, run)
    monkeypatch.undo()
    assert train(cure, data_dir, run, accept_changes=True).state == "finished"
    assert len(nans(run)) == 4
    state = (Run(run).checkpoint(32) / "state.json").read_text()
    assert json.loads(state)["standing"]["left_out"] == []  # from there on nothing is left out
    assert all(math.isfinite(line.loss) for line in Run(run).metrics())


def test_nothing_to_accept_changes_nothing(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(["schedule.epochs=1"])
    train(recipe, data_dir, tmp_path / "one", stop_after_step=3)
    train(recipe, data_dir, tmp_path / "one", accept_changes=True)
    train(recipe, data_dir, tmp_path / "two", accept_changes=True)
    assert accepted(tmp_path / "one") == accepted(tmp_path / "two") == []
    assert_equal_runs(tmp_path / "one", tmp_path / "two")


def test_what_may_move_the_last_bits_is_told_from_what_does_not() -> None:
    before = {
        "versions": {"python": "3.11", "torch": "2.11", "tokenizers": "0.21"},
        "device": "cpu", "threads": 2, "cores": 8, "processes": 1,
    }  # fmt: skip
    now = {
        "versions": {"python": "3.12", "torch": "2.13", "tokenizers": "0.22"},
        "device": "Tesla T4, 15.8 GB", "threads": 2, "cores": 4, "processes": 2,
    }  # fmt: skip
    differences = changes(before, now)
    assert "torch: 2.11 -> 2.13" in differences
    assert len(differences) == 6
    assert no_longer_exact(differences) == ["device", "processes", "torch"]
    assert no_longer_exact(changes(before, before)) == []


def test_a_base_whose_weights_changed_under_its_name_is_refused_or_listed(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    base, run = tmp_path / "base", tmp_path / "run"
    shutil.copytree(resolve_base(recipe_of().model.base), base)
    recipe = recipe_of([f"model.base={base}"])
    train(recipe, data_dir, run, stop_after_step=6)
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if "norm" in name)
    weights[name] = weights[name] * 1.01
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunChanged, match="other weights"):
        train(recipe, data_dir, run)
    assert accepted(run) == []
    assert train(recipe, data_dir, run, accept_changes=True).state == "finished"
    assert [each.details for each in accepted(run)] == [{"base": [f"other weights of {base}"]}]
    load_model(locate_model(run))
    save_file(weights, base / "model.safetensors", metadata={"format": "pt", "again": "yes"})
    with pytest.raises(ModelError, match="other weights"):
        load_model(locate_model(run))


def test_a_base_in_another_folder_is_no_change_when_its_weights_are_the_same(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    """A new machine has its base elsewhere; the command with a relative `model.base` was refused there."""
    run, straight = tmp_path / "run", tmp_path / "straight"
    before, now = tmp_path / "a" / "base", tmp_path / "b" / "base"
    shutil.copytree(resolve_base(recipe_of().model.base), before)
    train(recipe_of([f"model.base={before}"]), data_dir, straight)
    train(recipe_of([f"model.base={before}"]), data_dir, run, stop_after_step=6)
    now.parent.mkdir()
    shutil.move(before, now)
    with pytest.raises(ModelError, match=r"not in .* any more") as caught:
        load_model(locate_model(run))
    assert str(Run(run).recipe_file) in (caught.value.fix or "")
    assert train(recipe_of([f"model.base={now}"]), data_dir, run).state == "finished"
    assert accepted(run) == []
    assert Run(run).read_recipe().model.base == str(now)
    load_model(locate_model(run))
    assert_equal_runs(straight, run)


def test_a_base_in_another_folder_with_other_weights_is_a_change(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "b" / "base"
    train(recipe_of(), data_dir, run, stop_after_step=6)
    shutil.copytree(resolve_base(recipe_of().model.base), other)
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if "norm" in name)
    weights[name] = weights[name] * 1.01
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunChanged, match=r"model\.base: .* -> "):
        train(recipe_of([f"model.base={other}"]), data_dir, run)
    assert Run(run).read_recipe() == recipe_of()  # the run still names its own base


def test_an_adapter_to_start_from_may_lie_elsewhere_later(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    train(recipe_of(["schedule.epochs=1"]), data_dir, tmp_path / "first")
    run = tmp_path / "run"
    start = f"model.adapter={tmp_path / 'first' / 'adapter'}"
    train(recipe_of([start]), data_dir, run, stop_after_step=6)
    elsewhere = recipe_of([f"model.adapter={tmp_path / 'moved' / 'adapter'}"])
    assert train(elsewhere, data_dir, run, stop_after_step=8).step == 8
    with pytest.raises(RunChanged, match=r"model\.adapter"):
        train(recipe_of([f"model.adapter={tmp_path / 'moved' / 'other'}"]), data_dir, run)


@pytest.mark.parametrize(
    "change",
    [
        "step.micro_batch=2",
        "step.token_budget=300",
        "model.quantization=none",
        "step.gradient_checkpointing=never",
    ],
)
def test_a_setting_that_the_plan_had_decided_may_be_accepted(
    change: str, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    train(recipe_of(), data_dir, run.path, stop_after_step=3)
    plan = run.read_plan()
    decided = {
        "model.quantization": "none",
        "step.gradient_checkpointing": "always",
        "step.token_budget": 200,
    }
    run.write_plan({**plan, "choices": decided})
    other = recipe_of([change])
    assert train(other, data_dir, run.path, accept_changes=True).state == "finished"
    assert run.read_recipe() == other
    used = with_settings(other, decided)
    dotted, _, value = change.partition("=")
    assert str(field_value(used, dotted)) == value
    assert used.step.token_budget == {
        "step.micro_batch=2": "auto",
        "step.token_budget=300": 300,
    }.get(change, 200)
