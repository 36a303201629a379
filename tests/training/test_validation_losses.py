"""Which adapter is the best one, where a validation loss is not a number or does not compare with those before."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.runs import list_runs
from lexitrain.runs.comparable import forgets_best
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event
from lexitrain.training import loop, start, train
from lexitrain.training.recovery.state import TrainingState
from lexitrain.training.validation import ValidationLoss
from tests.small_runs import write_data
from tests.training.test_train import adapter_bytes, assert_equal_runs

RecipeOf = Callable[..., Recipe]
NAN, INF = math.nan, math.inf


def strict_lines(path: Path) -> list[dict[str, object]]:
    """The journal's lines, read by the letter of JSON: a bare NaN is an error."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    lines = path.read_text("utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def assert_valid_json(run: Path) -> None:
    for path in (*run.rglob("*.json"), *run.rglob("*.jsonl")):
        if path.suffix == ".jsonl":
            strict_lines(path)
        else:
            assert "NaN" not in path.read_text("utf-8"), path
            assert "Infinity" not in path.read_text("utf-8"), path


def validation_losses(patch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let the validations of a run, before it and each 5 steps, give these."""

    def measured(training: loop.Training, interrupt: Any) -> ValidationLoss | None:
        loss = losses[training.state.step // 5]
        return ValidationLoss(loss, {"grammar": loss}) if len(training.validation) else None

    patch.setattr(loop, "validation_loss", measured)
    patch.setattr(start, "validation_loss", measured)


def card(run: Path) -> str:
    return (run / "adapter" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_loss_that_is_no_number_is_never_the_best(
    bad: float, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One measured before training, then one each 5 steps, the last one after step 32.
    validation_losses(monkeypatch, [bad, bad, 5.0, bad, 3.0, bad, 4.0])
    recipe = recipe_of(["schedule.early_stopping=2"])
    for run, stops in ((tmp_path / "one", []), (tmp_path / "two", [5, 13, 21])):
        for step in stops:
            train(recipe, data_dir, run, stop_after_step=step)
        result = train(recipe, data_dir, run)
        assert (result.state, result.reason) == ("finished", "finished")
        assert (result.best_step, result.best_loss) == (20, 3.0)
        assert (result.shipped, result.shipped_step, result.shipped_why) == ("best", 20, "")
        best = run / "checkpoints" / "best-000020" / "adapter_model.safetensors"
        assert adapter_bytes(run) == best.read_bytes()
        assert_valid_json(run)
        told = [each for each in Run(run).events() if each.event == "validation_nan"]
        assert {each.step for each in told} >= {0, 5, 15, 25}
        assert list_runs(run)[0].best_validation_loss == 3.0
    assert_equal_runs(tmp_path / "one", tmp_path / "two")
    measured = {
        line["step"]: line.get("validation_loss", 0) for line in strict_lines(run / "metrics.jsonl")
    }
    assert [measured[step] for step in (5, 10, 15, 20)] == [None, 5.0, None, 3.0]


def test_when_no_loss_is_a_number_the_last_adapter_is_shipped_and_says_why(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    validation_losses(monkeypatch, [NAN] * 7)
    recipe = recipe_of(["schedule.early_stopping=1"])
    result = train(recipe, data_dir, run)
    assert (result.state, result.step, result.best_step) == ("finished", 32, None)
    assert (result.shipped, result.shipped_step) == ("last", 32)
    assert result.shipped_why == "no validation loss was a number"
    last = run / "checkpoints" / "step-000032" / "adapter_model.safetensors"
    assert adapter_bytes(run) == last.read_bytes()
    assert "the last one: no validation loss was a number" in card(run)
    assert "not measured for this adapter" in card(run)
    assert_valid_json(run)
    json.dumps(result.to_json(), allow_nan=False)
    assert not list((run / "checkpoints").glob("best-*"))
    again = train(recipe, data_dir, run)
    assert (again.reason, again.shipped_why) == ("already_finished", result.shipped_why)


def test_a_run_of_an_older_version_that_took_nan_for_its_best_finds_another(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    validation_losses(monkeypatch, [9.0, 5.0, 4.0, 3.0, 3.5, 3.6, 3.7])
    train(recipe_of(), data_dir, run.path, stop_after_step=7)
    from lexitrain.runs import Checkpoints, read_checkpoint

    written = read_checkpoint(run.checkpoint(7))
    state = json.loads(written.files["state.json"])
    state["standing"] |= {"best_loss": NAN, "validation_loss": NAN, "validations_without_gain": 4}
    files = {**written.files, "state.json": json.dumps(state).encode()}
    Checkpoints(run.checkpoints, 2).save(7, files)
    Checkpoints(run.checkpoints, 2).save_best(
        5, read_checkpoint(run.checkpoints / "best-000005").files, {"validation_loss": NAN}
    )
    lines = run.metrics_file.read_text().splitlines()
    broken = [line.replace('"validation_loss": 5.0', '"validation_loss": NaN') for line in lines]
    assert broken != lines
    run.metrics_file.write_text("\n".join(broken) + "\n")
    assert [line.validation_loss for line in run.metrics()] == [None] * len(lines)
    assert list_runs(run.path)[0].best_validation_loss is None
    result = train(
        recipe_of(["schedule.early_stopping=3"]), data_dir, run.path, accept_changes=True
    )
    assert (result.best_step, result.best_loss) == (15, 3.0)
    assert result.shipped_step == 15
    assert_valid_json(run.path)


def test_after_a_change_to_data_without_validation_the_old_best_is_not_shipped(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", write_data(tmp_path / "other")
    (other / "validation.jsonl").unlink()
    train(recipe_of(), data_dir, run, stop_after_step=12)
    assert (run / "checkpoints" / "best-000010").is_dir()
    result = train(recipe_of(), other, run, accept_changes=True)
    assert (result.state, result.shipped, result.shipped_step) == ("finished", "last", 32)
    assert "chosen on other data" in result.shipped_why
    assert "chosen on other data" in card(run)
    last = run / "checkpoints" / "step-000032" / "adapter_model.safetensors"
    assert adapter_bytes(run) == last.read_bytes()
    finished = Run(run).events()[-1]
    assert (finished.details["adapter"], finished.details["best_loss"]) == ("last", None)
    assert list_runs(run)[0].best_validation_loss is None


def test_a_damaged_best_from_after_a_change_is_not_replaced_by_one_from_before(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = tmp_path / "run", write_data(tmp_path / "other", validation=5)
    validation_losses(monkeypatch, [9.0, 5.0, 1.0, 4.0, 4.5, 4.6, 4.7])
    train(recipe_of(), data_dir, run, stop_after_step=12)
    train(recipe_of(), other, run, accept_changes=True, stop_after_step=31)
    best = run / "checkpoints" / "best-000015" / "MANIFEST.json"
    best.write_bytes(best.read_bytes()[:-5])
    result = train(recipe_of(), other, run)
    assert (result.best_step, result.shipped, result.shipped_step) == (15, "last", 32)
    assert "cannot be read" in result.shipped_why


@pytest.mark.parametrize(
    ("change", "forgets"),
    [
        ({"data": ["train.jsonl changed"]}, True),
        ({"recipe": ["validation.limit: None -> 3"]}, True),
        ({"recipe": ["data.max_length: 512 -> 256"]}, True),
        ({"recipe": ["seed: 1 -> 2"]}, True),
        ({"recipe": ["step.loss: completion -> all_tokens"]}, True),
        ({"recipe": ["model.base: nano -> other"]}, True),
        ({"recipe": ["model.quantization: none -> nf4"]}, True),
        ({"recipe": ["data.task_weights: {} -> {'grammar': 2}"]}, False),
        ({"recipe": ["optimizer.learning_rate: 0.1 -> 0.2"]}, False),
        ({"recipe": ["step.layout: tree -> packed", "schedule.epochs: 1 -> 2"]}, False),
    ],
)
def test_what_makes_losses_incomparable(change: dict[str, list[str]], forgets: bool) -> None:
    event = Event("accepted", 7, "", change)
    assert forgets_best(event) is forgets
    state = TrainingState(step=7, best_step=5, best_loss=1.0, validations_without_gain=2)
    state.learn_from([event])
    assert state.best_step == (None if forgets else 5)
    assert state.validations_without_gain == (0 if forgets else 2)
