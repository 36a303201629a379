"""The memory ladder under an allocator that runs out: the same step, the same samples, rung by rung."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lexitrain.errors import Stopped
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.records.record import Record
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event
from lexitrain.step import TrainingStep
from lexitrain.step.out_of_memory import attempt, is_out_of_memory
from lexitrain.training import Silent, train
from tests.training.allocator import Allocator, FailingSteps, allocate_through
from tests.training.test_train import assert_equal_runs

RecipeOf = Callable[..., Recipe]
STEPS = 20


class Counting(Silent):
    """Keeps how many steps are done, and tells the failures."""

    def __init__(self, failures: FailingSteps | None = None) -> None:
        self.done, self._failures = 0, failures

    def progress(self, progress: Any) -> None:
        self.done = progress.step


def rungs(run: Path) -> list[Event]:
    return [each for each in Run(run).events() if each.event == "rung"]


def gradients_of_run(
    recipe: Recipe,
    data: Path,
    run: Path,
    failures: FailingSteps | None,
    monkeypatch: pytest.MonkeyPatch,
) -> list[dict[str, Tensor]]:
    """Train for 20 steps with failures; the gradients of each step."""
    kept: list[dict[str, Tensor]] = []
    observer = Counting()
    with monkeypatch.context() as patch:
        if failures is not None:
            allocate_through(Allocator(fails=failures), patch)
        original = TrainingStep.gradients

        def noted(self: TrainingStep, *args: Any, **kwargs: Any) -> Any:
            if failures is not None:
                failures.begin(observer.done)
            result = original(self, *args, **kwargs)
            named = self.model.named_parameters()
            kept.append({name: p.grad.clone() for name, p in named if p.grad is not None})
            return result

        patch.setattr(TrainingStep, "gradients", noted)
        train(recipe, data, run, stop_after_step=STEPS, observer=observer)
    return kept


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(Run(run).checkpoint(STEPS) / "adapter_model.safetensors")


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-12))


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=[] if step in {2, 5} else pytest.mark.slow) for step in range(1, 21)],
)
def test_a_step_that_runs_out_of_memory_is_done_again_and_is_the_same(
    step: int,
    undisturbed: dict[str, Any],
    recipe_of: RecipeOf,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = recipe_of(["checkpoints.keep=3"])
    if not undisturbed:
        plain = tmp_path / "plain"
        undisturbed["gradients"] = gradients_of_run(recipe, data_dir, plain, None, monkeypatch)
        undisturbed["weights"] = weights(plain)

    attempts, backward = 1 + step % 3, step % 2 == 0
    failures = FailingSteps(step, attempts, backward=backward, after=step)
    run = tmp_path / "run"
    gradients = gradients_of_run(recipe, data_dir, run, failures, monkeypatch)

    assert len(gradients) == STEPS  # each step counted once, and none left out
    expected = undisturbed["gradients"][step - 1]
    assert gradients[step - 1].keys() == expected.keys()
    for name, gradient in gradients[step - 1].items():
        assert relative(gradient, expected[name]) <= 1e-5, name
    for name, weight in weights(run).items():
        assert relative(weight, undisturbed["weights"][name]) <= 1e-4, name

    emptied = [each for each in Run(run).events() if each.event == "out_of_memory"]
    assert [each.step for each in emptied] == [step - 1]
    climbed = rungs(run)
    assert [each.details["rung"] for each in climbed] == [1, 2][: attempts - 1]
    assert all(each.step == step - 1 for each in climbed)


def long_records(count: int) -> list[Record]:
    """Grammar records whose text is longer than any limit in use here, and whose answer is short."""
    words = ("the cat", "a dog", "my school", "this garden", "her book", "his friend")
    return [
        Record(
            "fluency",
            " ".join(f"{words[(number + each) % 6]} is {each}." for each in range(200)),
            {"fluency_score": number % 10 / 10, "reasoning": "ok"},
            {},
        )
        for number in range(count)
    ]


@pytest.fixture
def long_data(tmp_path: Path) -> Path:
    folder = tmp_path / "long"
    folder.mkdir()
    for name, count in (("train", 8), ("validation", 2)):
        lines = "".join(record.to_json() + "\n" for record in long_records(count))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def nano_recipe(*settings: str) -> Recipe:
    return load_recipe(
        "demo",
        [
            "data.max_length=512",
            "data.workers=1",
            "step.effective_batch=4",
            "schedule.epochs=2",
            "lora.rank=4",
            "checkpoints.every=3",
            "log_every=1",
            *settings,
        ],
    )


def peak(recipe: Recipe, data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes alive at most in two steps of a recipe."""
    gc.collect()  # of other runs in this process
    allocator = Allocator()
    with monkeypatch.context() as patch:
        allocate_through(allocator, patch)
        train(recipe, data, run, stop_after_step=2)
    return allocator.peak


@pytest.mark.slow
def test_every_rung_is_climbed_in_order_kept_on_resume_and_the_ladder_ends(
    long_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    given_up: list[str] = []
    peaks: list[int] = []
    for each in (
        "log_every=1",
        "step.gradient_checkpointing=always",
        "step.token_budget=1",
        "data.max_length=384",
        "model.quantization=nf4",
    ):
        given_up.append(each)
        run = tmp_path / f"peak-{len(peaks)}"
        peaks.append(peak(nano_recipe(*given_up), long_data, run, monkeypatch))
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)

    run = tmp_path / "run"
    allocator = Allocator((peaks[3] + peaks[4]) // 2)
    with monkeypatch.context() as patch:
        allocate_through(allocator, patch)
        result = train(nano_recipe(), long_data, run, stop_after_step=2)
        assert (result.state, result.step) == ("stopped", 2)
        climbed = [each.details["rung"] for each in rungs(run)]
        assert climbed == [1, *[2] * (len(climbed) - 3), 3, 4]
        assert len(climbed) >= 4
        assert {each.step for each in rungs(run)} == {0}
        budgets = [each.details["token_budget"] for each in rungs(run)[1:-2]]
        assert budgets == sorted(budgets, reverse=True)
        shortening = rungs(run)[-2].details
        assert (shortening["max_length"], shortening["shortened"]) == (384, 8)
        assert "RESULT CHANGES" in shortening["means"]
        state = json.loads((Run(run).checkpoint(2) / "state.json").read_text())["standing"]
        assert (state["rung"], state["token_budget"]) == (4, budgets[-1])

        shutil.copytree(run, tmp_path / "copy")
        refused = allocator.refused
        assert train(nano_recipe(), long_data, run).state == "finished"
        assert allocator.refused == refused  # nothing had to be learnt again
        assert len(rungs(run)) == len(climbed)

    allocator = Allocator(peaks[4] // 2)
    copy = tmp_path / "copy"
    with monkeypatch.context() as patch:
        allocate_through(allocator, patch)
        for _ in range(2):
            with pytest.raises(Stopped, match="Step 3 does not fit in memory") as caught:
                train(nano_recipe(), long_data, copy)
            assert caught.value.exit_code == 4
    assert len(rungs(copy)) == len(climbed)
    assert train(nano_recipe(), long_data, copy).state == "finished"
    assert_equal_runs(run, copy)


@pytest.mark.slow
def test_what_the_recipe_rules_out_is_not_done(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(["step.gradient_checkpointing=never", "model.quantization=none"])
    allocator = Allocator(fails=lambda _: True)
    with monkeypatch.context() as patch:
        allocate_through(allocator, patch)
        with pytest.raises(Stopped, match=r"gradient_checkpointing=never.*quantization=none"):
            train(recipe, data_dir, tmp_path / "run")
    assert {each.details["rung"] for each in rungs(tmp_path / "run")} == {2}
    assert train(recipe, data_dir, tmp_path / "run").state == "finished"


@pytest.mark.slow
def test_a_validation_that_does_not_fit_is_done_in_halves(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(recipe_of(), data_dir, tmp_path / "plain", stop_after_step=5)
    allocator = Allocator()
    with monkeypatch.context() as patch:
        allocate_through(allocator, patch, "loss")
        train(recipe_of(), data_dir, tmp_path / "measured", stop_after_step=1)
        allocator.limit = allocator.peak - 1
        limited = train(recipe_of(), data_dir, tmp_path / "run", stop_after_step=5)
        assert allocator.refused >= 2
        assert limited.first_loss == pytest.approx(plain.first_loss, rel=1e-6)
        assert limited.validation_loss == pytest.approx(plain.validation_loss, rel=1e-6)
        assert rungs(tmp_path / "run") == []
        allocator.limit = 1
        with pytest.raises(Stopped, match="does not fit in memory"):
            train(recipe_of(), data_dir, tmp_path / "none")


@pytest.mark.slow
def test_memory_that_ends_while_weights_move_takes_the_run_back(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, failed = tmp_path / "run", 0
    update = TrainingStep.update

    def torn(self: TrainingStep, learning_rate: float) -> float:
        nonlocal failed
        if len(Run(run).checkpoint_steps()) == 1 and failed < 2:
            failed += 1
            with torch.no_grad():
                self.parameters[0].add_(1.0)  # some weights have moved already
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return update(self, learning_rate)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "update", torn)
        assert train(recipe_of(), data_dir, run).state == "finished"
    assert failed == 2
    assert [each.details["rung"] for each in rungs(run)] == [1, 2]
    resumed = [each for each in Run(run).events() if each.event == "resumed"]
    assert [each.details["checkpoint"] for each in resumed] == ["step-000005"] * 2
    train(recipe_of(), data_dir, tmp_path / "plain")
    ours, plain = (
        load_file(each / "adapter" / "adapter_model.safetensors")
        for each in (run, tmp_path / "plain")
    )
    for name, weight in ours.items():
        assert relative(weight, plain[name]) <= 1e-3, name


def test_the_first_step_of_a_resumed_run_recomputes_too(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(["step.gradient_checkpointing=always"])
    before = peak(recipe, data_dir, tmp_path / "run", monkeypatch)
    allocator = Allocator()
    gc.collect()
    allocate_through(allocator, monkeypatch)
    train(recipe, data_dir, tmp_path / "run", stop_after_step=3)
    assert allocator.peak == pytest.approx(before, rel=0.2)


def test_memory_errors_are_told_from_others() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(OSError("out of memory"))

    assert attempt(lambda: 3) == (3, None)
    result, problem = attempt(lambda: torch.empty(2**60, dtype=torch.uint8))
    assert result is None
    assert problem is not None
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 // 0)
