"""Whole runs of a tiny model: the same bytes come out however a run is stopped, and nothing is done twice or lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lexitrain.batching import fixed_subset
from lexitrain.errors import InputError
from lexitrain.models import load_adapter
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import MEASURED, Metrics
from lexitrain.training import Silent, TrainingResult, loop, train
from lexitrain.training.validation import ValidationLoss
from tests.small_runs import write_data
from tests.tiny import tiny_model

RecipeOf = Callable[..., Recipe]
WEIGHTS = "adapter_model.safetensors"


def adapter_bytes(run: Path) -> bytes:
    return (run / "adapter" / WEIGHTS).read_bytes()


def course(run: Path) -> list[dict[str, Any]]:
    """The metrics without what depends on the clock and the machine."""
    return [
        {name: getattr(line, name) for name in Metrics.__slots__ if name not in MEASURED}
        for line in Run(run).metrics()
    ]


def events(run: Path) -> list[str]:
    return [each.event for each in Run(run).events()]


def assert_equal_runs(one: Path, other: Path) -> None:
    assert adapter_bytes(one) == adapter_bytes(other)
    assert course(one) == course(other)


class Signalling(Silent):
    """Sends this process a signal at a step, or when a stage begins."""

    def __init__(self, step: int | None = None, stage: tuple[str, int] | None = None) -> None:
        self._step, self._stage, self._seen = step, stage, 0

    def progress(self, progress: Any) -> None:
        if progress.step == self._step:
            os.kill(os.getpid(), signal.SIGTERM)

    def stage(self, text: str) -> None:
        if self._stage is not None and text == self._stage[0]:
            self._seen += 1
            if self._seen == self._stage[1]:
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="session")
def straight(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data folder and an undisturbed run on it."""
    root = tmp_path_factory.mktemp("straight")
    return write_data(root / "data"), root / "run"


@pytest.fixture
def undisturbed(straight: tuple[Path, Path], recipe_of: RecipeOf) -> tuple[Path, Path]:
    data, run = straight
    if not run.exists():
        train(recipe_of(), data, run)
    return data, run


def test_a_run_learns_and_leaves_what_it_promises(
    undisturbed: tuple[Path, Path], recipe_of: RecipeOf
) -> None:
    data, path = undisturbed
    run = Run(path)
    assert run.read_recipe() == recipe_of()
    assert run.read_environment()["seed"] == 42
    assert run.read_data().samples["train"] == {"fluency": 14, "grammar": 26}
    assert events(path)[:2] == ["planned", "started"]
    assert events(path)[-1] == "finished"
    assert run.checkpoint_steps() == [30, 32]

    logged = [line.step for line in run.metrics()]
    assert logged == sorted({*range(2, 33, 2), *range(5, 33, 5)})
    validated = [line.step for line in run.metrics() if line.validation_loss is not None]
    assert validated == [5, 10, 15, 20, 25, 30, 32]
    started, finished = run.events()[1], run.events()[-1]
    assert finished.details["best_loss"] < 0.8 * started.details["validation_loss"]
    assert sum(line.supervised_tokens for line in run.metrics()) > 0

    card = (run.adapter / "README.md").read_text()
    assert "base_model: tiny" in card
    assert str(data.parent) not in card
    assert "/tmp" not in card
    names = {each.name for each in run.adapter.iterdir()}
    assert {WEIGHTS, "adapter_config.json", "tokenizer.json", "README.md"} <= names
    assert [each.name for each in path.iterdir() if each.name.startswith(".")] == [".lock"]


def test_the_adapter_loads_and_is_the_best_one(undisturbed: tuple[Path, Path]) -> None:
    _, path = undisturbed
    best = next((path / "checkpoints").glob("best-*"))
    assert adapter_bytes(path) == (best / WEIGHTS).read_bytes()
    model = load_adapter(tiny_model(), path / "adapter")
    changed = [p for name, p in model.named_parameters() if "lora_B" in name]
    assert changed
    assert all(bool(p.abs().sum() > 0) for p in changed)


def test_the_same_command_on_a_finished_run_changes_nothing(
    undisturbed: tuple[Path, Path], recipe_of: RecipeOf
) -> None:
    data, path = undisturbed
    before = events(path)
    result = train(recipe_of(["log_every=7", "checkpoints.keep=5"]), data, path)
    assert (result.state, result.reason, result.step) == ("finished", "already_finished", 32)
    assert result.best_loss is not None
    assert events(path) == before
    train(recipe_of(), data, path)


@pytest.mark.parametrize("steps", [(7, 8), (5, 20, 31)])
def test_stopping_after_steps_changes_nothing(
    undisturbed: tuple[Path, Path], recipe_of: RecipeOf, tmp_path: Path, steps: tuple[int, ...]
) -> None:
    data, path = undisturbed
    run = tmp_path / "run"
    for step in steps:
        result = train(recipe_of(), data, run, stop_after_step=step)
        assert (result.state, result.reason, result.step) == ("stopped", "stop_after_step", step)
        assert result.first_loss is not None
        assert result.validation_loss is not None
        assert result.validation_loss < result.first_loss
    again = train(recipe_of(), data, run, stop_after_step=steps[0])
    assert again.step == steps[-1]
    assert train(recipe_of(), data, run).state == "finished"
    assert_equal_runs(run, path)


@pytest.mark.parametrize(
    "observer",
    [
        Signalling(step=13),
        Signalling(step=15),
        Signalling(stage=("validating", 2)),
        Signalling(stage=("measuring the validation loss before training", 1)),
    ],
    ids=["within", "at a save", "while validating", "before the first step"],
)
def test_a_signal_saves_and_loses_nothing(
    undisturbed: tuple[Path, Path], recipe_of: RecipeOf, tmp_path: Path, observer: Signalling
) -> None:
    data, path = undisturbed
    run = tmp_path / "run"
    result = train(recipe_of(), data, run, observer=observer)
    assert (result.state, result.reason) == ("stopped", "SIGTERM")
    assert events(run)[-2:] == ["signal", "stopped"]
    assert Run(run).checkpoint_steps()[-1] == result.step
    after = train(recipe_of(), data, run)
    assert after.first_loss is not None
    assert_equal_runs(run, path)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_dropout_weights_workers_eight_bit_state_and_loss_scale_resume_exactly(
    precision: str, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    settings = [
        f"model.precision={precision}",
        "lora.rank=128",  # matrices of 4,096 and more elements get 8-bit state
        "lora.dropout=0.2",
        "data.task_weights={fluency: 1.5}",
        "optimizer.name=adamw_8bit",
        "optimizer.learning_rate=0.001",
        "schedule.epochs=2",
        "validation.limit=3",
    ]
    train(recipe_of(settings), data_dir, tmp_path / "one")
    train(recipe_of(settings), data_dir, tmp_path / "two", stop_after_step=8)
    saved = load_file(tmp_path / "two" / "checkpoints" / "step-000008" / "optimizer.safetensors")
    assert torch.uint8 in {each.dtype for each in saved.values()}
    train(recipe_of([*settings, "data.workers=3"]), data_dir, tmp_path / "two")
    assert_equal_runs(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("damage", ["cut", "flip"])
@pytest.mark.parametrize(
    "file", [WEIGHTS, "adapter_config.json", "optimizer.safetensors", "state.json", "MANIFEST.json"]
)
def test_a_damaged_checkpoint_is_told_and_the_one_before_used(
    undisturbed: tuple[Path, Path],
    stopped: Path,
    recipe_of: RecipeOf,
    tmp_path: Path,
    file: str,
    damage: str,
) -> None:
    data, path = undisturbed
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    target = run / "checkpoints" / "step-000028" / file
    content = target.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]
    target.write_bytes(content[:-1] if damage == "cut" else flipped)

    train(recipe_of(), data, run)

    told = [each for each in Run(run).events() if each.event == "broken"]
    assert [each.details["checkpoint"] for each in told] == ["step-000028"]
    assert file in told[0].details["reason"]
    resumed = next(each for each in Run(run).events() if each.event == "resumed")
    assert resumed.details["checkpoint"] == "step-000025"
    assert_equal_runs(run, path)


@pytest.fixture(scope="session")
def stopped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stopped") / "run"


@pytest.fixture
def stopped(stopped_folder: Path, undisturbed: tuple[Path, Path], recipe_of: RecipeOf) -> Path:
    """A run on the data of the undisturbed one, stopped after step 28, with checkpoints of steps 25 and 28."""
    if not stopped_folder.exists():
        train(recipe_of(), undisturbed[0], stopped_folder, stop_after_step=28)
    return stopped_folder


def test_a_damaged_cache_is_made_anew(
    undisturbed: tuple[Path, Path], stopped: Path, recipe_of: RecipeOf, tmp_path: Path
) -> None:
    data, path = undisturbed
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    cache = run / "cache" / "train.safetensors"
    content = cache.read_bytes()
    cache.write_bytes(content[:-100] + b"\0" * 100)
    train(recipe_of(), data, run)
    assert_equal_runs(run, path)


def test_without_any_valid_checkpoint_the_run_starts_over(
    undisturbed: tuple[Path, Path], stopped: Path, recipe_of: RecipeOf, tmp_path: Path
) -> None:
    data, path = undisturbed
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    for manifest in (run / "checkpoints").glob("*/MANIFEST.json"):
        manifest.unlink()
    train(recipe_of(), data, run)
    assert_equal_runs(run, path)


@pytest.mark.parametrize(
    ("change", "named"),
    [("lora.rank=3", "lora.rank: 4 -> 3"), ("schedule.epochs=5", "schedule.epochs: 4 -> 5")],
)
def test_another_recipe_is_refused_by_name(
    undisturbed: tuple[Path, Path], recipe_of: RecipeOf, change: str, named: str
) -> None:
    data, path = undisturbed
    with pytest.raises(InputError, match=named) as caught:
        train(recipe_of([change]), data, path)
    assert "--fresh" in str(caught.value)


def test_other_data_is_refused_by_name(
    undisturbed: tuple[Path, Path], stopped: Path, recipe_of: RecipeOf, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    other = write_data(tmp_path / "other", train=41)
    with pytest.raises(InputError, match=r"train\.jsonl changed"):
        train(recipe_of(), other, run)
    (other / "validation.jsonl").unlink()
    with pytest.raises(InputError, match=r"validation\.jsonl is gone"):
        train(recipe_of(), other, run)
    moved = tmp_path / "moved"
    shutil.copytree(undisturbed[0], moved)
    assert train(recipe_of(), moved, run).state == "finished"


def test_fresh_moves_the_old_run_aside(recipe_of: RecipeOf, data_dir: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = ["schedule.epochs=1"]
    train(recipe_of(short), data_dir, run, stop_after_step=2)
    train(recipe_of(["schedule.epochs=2"]), data_dir, run, stop_after_step=2, fresh=True)
    assert Run(tmp_path / "run.old-1").read_recipe().schedule.epochs == 1
    assert Run(run).read_recipe().schedule.epochs == 2


def test_mistakes_are_told_before_anything_is_written(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="no such data folder"):
        train(recipe_of(), tmp_path / "nowhere", run)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no train\.jsonl"):
        train(recipe_of(), tmp_path / "empty", run)
    assert not run.exists()

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        train(recipe_of(), data_dir, tmp_path / "other")
    assert [each.name for each in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_an_unknown_task_names_the_nearest(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="grammar"):
        train(recipe_of(["data.tasks=[gramar]"]), data_dir, tmp_path / "run")
    with (data_dir / "train.jsonl").open("a") as file:
        file.write('{"task": "poetry", "input": "x", "output": {"y": 1}, "metadata": {}}\n')
    with pytest.raises(InputError, match="poetry"):
        train(recipe_of(), data_dir, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def validation_losses(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> None:
    """Let the validations, the one before training included, give these losses, by step."""

    def measured(training: loop.Training, interrupt: Any) -> ValidationLoss:
        return ValidationLoss(losses[training.state.step // 5], {})

    monkeypatch.setattr(loop, "validation_loss", measured)


def test_early_stopping_keeps_the_best_adapter_across_a_stop(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation_losses(monkeypatch, [9.0, 5.0, 3.0, 4.0, 3.5, 3.0, 1.0])
    recipe = recipe_of(["schedule.early_stopping=3"])
    for run, stops in ((tmp_path / "one", []), (tmp_path / "two", [16, 21])):
        for step in stops:
            train(recipe, data_dir, run, stop_after_step=step)
        result = train(recipe, data_dir, run)
        assert (result.reason, result.step) == ("early_stopping", 25)
        assert (result.best_step, result.best_loss) == (10, 3.0)
        best = run / "checkpoints" / "best-000010" / WEIGHTS
        assert adapter_bytes(run) == best.read_bytes()
        assert "step 10 of 32" in (run / "adapter" / "README.md").read_text()
    assert_equal_runs(tmp_path / "one", tmp_path / "two")


def test_without_validation_records_the_last_adapter_is_taken(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / "validation.jsonl").unlink()
    result = train(recipe_of(["schedule.epochs=1"]), data_dir, tmp_path / "run")
    assert (result.state, result.best_loss, result.validation_loss) == ("finished", None, None)
    last = tmp_path / "run" / "checkpoints" / "step-000008" / WEIGHTS
    assert adapter_bytes(tmp_path / "run") == last.read_bytes()


def test_one_adapter_per_task(recipe_of: RecipeOf, data_dir: Path, tmp_path: Path) -> None:
    recipe = recipe_of(["data.adapters=per_task", "schedule.epochs=1"])
    stopped = train(recipe, data_dir, tmp_path / "run", stop_after_step=2)
    assert stopped.state == "stopped"
    result = train(recipe, data_dir, tmp_path / "run")
    assert list(result.parts) == ["fluency", "grammar"]
    assert result.state == "finished"
    for task, part in result.parts.items():
        assert part.run == tmp_path / "run" / task
        assert list(Run(part.run).read_data().samples["train"]) == [task]
        assert part.adapter is not None
    assert result.total_steps == 3 + 6


def test_a_start_adapter_and_the_tasks_are_used(
    undisturbed: tuple[Path, Path], recipe_of: RecipeOf, tmp_path: Path
) -> None:
    data, path = undisturbed
    result = train(
        recipe_of([f"model.adapter={path / 'adapter'}", "data.tasks=[grammar]"]),
        data,
        tmp_path / "run",
        stop_after_step=1,
    )
    assert result.first_loss is not None
    assert result.first_loss < 5.0
    assert Run(tmp_path / "run").read_data().samples["train"] == {"grammar": 26}


def test_checkpoints_are_mirrored_and_a_lost_mirror_is_told(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(["schedule.epochs=2"])
    run, mirror = tmp_path / "run", tmp_path / "mirror"
    train(recipe, data_dir, run, mirror=mirror)
    here = sorted(each.relative_to(run) for each in (run / "checkpoints").rglob("*"))
    there = mirror / "run"
    assert here == sorted(each.relative_to(there) for each in (there / "checkpoints").rglob("*"))
    for each in here:
        if (run / each).is_file():
            assert (run / each).read_bytes() == (there / each).read_bytes()

    (tmp_path / "file").write_text("in the way")
    result: TrainingResult = train(recipe, data_dir, tmp_path / "two", mirror=tmp_path / "file")
    assert result.state == "finished"
    assert "mirror" in events(tmp_path / "two")
    assert_equal_runs(run, tmp_path / "two")


def test_another_environment_is_told(
    stopped: Path, undisturbed: tuple[Path, Path], recipe_of: RecipeOf, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    content = json.loads((run / "environment.json").read_text())
    content["versions"]["torch"] = "1.0"
    Run(run).write_environment(content)
    train(recipe_of(), undisturbed[0], run, stop_after_step=29)
    told = next(each for each in Run(run).events() if each.event == "environment")
    assert told.details["changes"][0].startswith("torch: 1.0 -> ")


def test_fresh_moves_nothing_aside_before_the_rest_is_right(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    train(recipe_of(), data_dir, tmp_path / "run", stop_after_step=1)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="no such data folder"):
        train(recipe_of(), tmp_path / "nowhere", tmp_path / "run", fresh=True)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "x.txt").write_text("mine")
    with pytest.raises(InputError, match="something else than a run"):
        train(recipe_of(), data_dir, tmp_path / "letters", fresh=True)
    with pytest.raises(InputError, match="This is a file"):
        train(recipe_of(), data_dir, tmp_path / "letters" / "x.txt", fresh=True)
    with pytest.raises(InputError, match="cannot be written"):
        train(recipe_of(), data_dir, tmp_path / "letters" / "x.txt" / "run")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "letters"])


def test_a_finished_run_is_held_against_its_data(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    train(recipe_of(), data_dir, tmp_path / "run")
    again = train(recipe_of(), data_dir, tmp_path / "run")
    assert again.reason == "already_finished"
    with pytest.raises(InputError, match="no such data folder"):
        train(recipe_of(), tmp_path / "nowhere", tmp_path / "run")
    with (data_dir / "train.jsonl").open("ab") as file:
        file.write((data_dir / "validation.jsonl").read_bytes())
    with pytest.raises(InputError, match=r"train\.jsonl changed"):
        train(recipe_of(), data_dir, tmp_path / "run")


def test_early_stopping_without_validation_is_refused(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / "validation.jsonl").unlink()
    with pytest.raises(InputError, match="Early stopping needs validation"):
        train(recipe_of(["schedule.early_stopping=2"]), data_dir, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_task_is_known_before_the_first_adapter_is_trained(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    apart = ("data.adapters=per_task", "data.tasks=[grammar,gramar]")
    with pytest.raises(InputError, match="There is no task 'gramar'"):
        train(recipe_of(apart), data_dir, tmp_path / "run")
    (data_dir / "train.jsonl").write_text("")
    with pytest.raises(InputError, match="no sample to train on"):
        train(recipe_of(["data.adapters=per_task"]), data_dir, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_each_task_has_a_validation_loss_and_they_make_up_the_whole(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    train(recipe_of(["validation.limit=7"]), data_dir, run.path)
    measured = [line for line in run.metrics() if line.validation_loss is not None]
    assert measured
    for line in measured:
        assert line.validation_losses is not None
        assert min(line.validation_losses.values()) <= line.validation_loss  # type: ignore[operator]
        assert max(line.validation_losses.values()) >= line.validation_loss  # type: ignore[operator]
    assert all(line.validation_losses is None for line in run.metrics() if line not in measured)
    alone = run_of_one_task(recipe_of, data_dir, tmp_path)
    assert alone == pytest.approx(measured[-1].validation_losses["grammar"], rel=1e-5)


def run_of_one_task(recipe_of: RecipeOf, data_dir: Path, folder: Path) -> float:
    """The validation loss of the trained adapter on the grammar samples alone, by the evaluation."""
    from lexitrain import evaluate

    lines = (data_dir / "validation.jsonl").read_text().splitlines(keepends=True)
    chosen = fixed_subset(len(lines), 7, recipe_of().seed)
    own = folder / "own.jsonl"
    own.write_text("".join(lines[int(n)] for n in chosen if '"grammar"' in lines[int(n)]))
    loss = evaluate(folder / "run" / "checkpoints" / newest(folder / "run"), own).evaluation.tasks
    return loss["grammar"].loss.value  # type: ignore[return-value, union-attr]


def newest(run: Path) -> str:
    return Run(run).checkpoint(Run(run).checkpoint_steps()[-1]).name
