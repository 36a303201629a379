"""A loss or gradient that is no number costs the run one step; which one is written down, and a resumed run leaves out
the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import Stopped
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event
from lexitrain.samples.sample import Sample
from lexitrain.step import StepResult, TrainingStep
from lexitrain.training import train
from tests.training.test_train import adapter_bytes, assert_equal_runs

RecipeOf = Callable[..., Recipe]


def poison(patch: pytest.MonkeyPatch, rows: set[int], what: str = "gradient") -> None:
    """Records of these rows make a step's gradient, or its loss, no number, whenever they are trained on."""
    original, loss = TrainingStep.gradients, TrainingStep.loss

    def gradients(self: TrainingStep, samples: Sequence[Sample], batches: Any) -> StepResult:
        result = original(self, samples, batches)
        if rows.isdisjoint(sample.index for sample in samples):
            return result
        self.grad_norm = math.nan
        value = math.inf if what == "loss" else result.loss
        return StepResult(value, result.supervised_tokens, result.layout_tokens, result.cuts)

    def own_loss(self: TrainingStep, samples: Sequence[Sample]) -> tuple[float, int]:
        value, tokens = loss(self, samples)
        bad = len(samples) == 1 and samples[0].index in rows
        return (math.nan if bad else value), tokens

    patch.setattr(TrainingStep, "gradients", gradients)
    if what == "loss":
        patch.setattr(TrainingStep, "loss", own_loss)


def nans(run: Path) -> list[Event]:
    return [each for each in Run(run).events() if each.event == "nan"]


@pytest.mark.parametrize("what", ["gradient", "loss"])
def test_the_step_is_left_out_and_everything_else_goes_on(
    what: str, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = recipe_of(["schedule.epochs=2", "log_every=1"]), tmp_path / "run"
    poison(monkeypatch, {17}, what)
    assert train(recipe, data_dir, run).state == "finished"

    found = nans(run)
    assert len(found) == 2  # one step an epoch holds the row
    first = found[0].details
    assert first["what"] == ("loss" if what == "loss" else "gradient norm")
    assert 17 in first["rows"]
    assert len(first["rows"]) == 5
    assert first["suspects"] == ([17] if what == "loss" else [])
    assert set(first["tasks"]) <= {"fluency", "grammar"}
    left_out = [each.details["left_out"] for each in found]
    assert [each.details["gone_back_to"] for each in found] == [
        (number - 1) // 5 * 5 for number in left_out
    ]
    logged = [line.step for line in Run(run).metrics()]
    assert logged == [step for step in range(1, 17) if step not in left_out]
    assert all(math.isfinite(line.loss) for line in Run(run).metrics())


def test_a_stop_or_a_kill_in_between_changes_nothing(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(["schedule.epochs=2"])
    poison(monkeypatch, {17})
    train(recipe, data_dir, tmp_path / "straight")
    first = nans(tmp_path / "straight")[0].details["left_out"]

    run = tmp_path / "stopped"
    for step in range(max(1, first - 1), 16, 2):
        train(recipe, data_dir, run, stop_after_step=step)
    train(recipe, data_dir, run)
    assert_equal_runs(tmp_path / "straight", run)

    # As a kill right after the event leaves it: the checkpoints know nothing of the step to leave out.
    killed = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr("lexitrain.training.start._build_and_train", stop_at_going_back(patch))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data_dir, killed)
    assert len(nans(killed)) == 1
    train(recipe, data_dir, killed)
    assert len(nans(killed)) == 2
    assert_equal_runs(tmp_path / "straight", killed)


def stop_at_going_back(patch: pytest.MonkeyPatch) -> Callable[..., Any]:
    from lexitrain.training import start

    build_and_train = start._build_and_train

    def once(*args: Any) -> Any:
        if build_and_train(*args) is None:
            raise KeyboardInterrupt
        return None

    return once


def test_the_fourth_time_it_stops_with_advice_and_the_checkpoint_is_intact(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = recipe_of(["checkpoints.every=2"]), tmp_path / "run"
    with monkeypatch.context() as patch:
        poison(patch, {17})
        with pytest.raises(
            Stopped, match=r"gradient norm of step .* is nan, after 3 other"
        ) as caught:
            train(recipe, data_dir, run)
        assert caught.value.exit_code == 4
        assert "is intact" in str(caught.value)
        assert "17" in str(caught.value)
        assert "--accept-changes" in str(caught.value)
        assert [each.details["gone_back_to"] is None for each in nans(run)] == [False] * 3 + [True]
        with pytest.raises(Stopped, match="after 3 other"):  # nothing is forgotten
            train(recipe, data_dir, run)
    assert all("nan" not in path.read_text() for path in run.rglob("state.json"))
    assert train(recipe, data_dir, run).state == "finished"


def test_spikes_are_told_and_change_nothing(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe_of(), data_dir, tmp_path / "plain")
    assert [e for e in Run(tmp_path / "plain").events() if e.event == "spike"] == []
    original = TrainingStep.gradients

    def high(self: TrainingStep, samples: Sequence[Sample], batches: Any) -> StepResult:
        result = original(self, samples, batches)
        loss = result.loss * (100 if 17 in {sample.index for sample in samples} else 1)
        return StepResult(loss, result.supervised_tokens, result.layout_tokens, result.cuts)

    monkeypatch.setattr(TrainingStep, "gradients", high)
    run = tmp_path / "run"
    train(recipe_of(), data_dir, run, stop_after_step=22)
    train(recipe_of(), data_dir, run)
    spikes = [each for each in Run(run).events() if each.event == "spike"]
    assert spikes
    assert all(17 in each.details["rows"] for each in spikes)
    assert all(each.details["loss"] > each.details["threshold"] for each in spikes)
    assert adapter_bytes(run) == adapter_bytes(tmp_path / "plain")
