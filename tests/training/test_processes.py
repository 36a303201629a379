"""Several processes train one run: the gradients and losses of one, and a clear end when one of them is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lexitrain.errors import InputError
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe, recipe_to_yaml
from lexitrain.runs.folder import Run
from lexitrain.step import joined_processes
from tests.paths import ROOT
from tests.small_runs import write_data
from tests.step.test_equality import plain_step
from tests.training.together import CUTS

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Together:
    """What the driver left: exit codes, output, folders."""

    codes: dict[str, list[int]]
    output: str
    errors: str
    folder: Path

    def run(self, name: str) -> Run:
        return Run(self.folder / name)


@pytest.fixture(scope="module")
def together(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Together:
    folder = tmp_path_factory.mktemp("together")
    recipe = load_recipe(
        "demo",
        [
            f"model.base={tiny_base}",
            "lora.rank=4",
            "data.workers=1",
            "step.effective_batch=5",
            "schedule.epochs=2",
            "checkpoints.every=5",
            "log_every=2",
        ],
    )
    (folder / "recipe.yaml").write_text(recipe_to_yaml(recipe))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.training.together"),
            *(folder / "recipe.yaml", write_data(folder / "data"), folder),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=230,
    )
    assert done.returncode == 0, done.stderr
    *output, codes = done.stdout.splitlines()
    return Together(json.loads(codes), "\n".join(output), done.stderr, folder)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_has_the_gradient_of_the_whole_step(
    together: Together, cuts: str, rank: int
) -> None:
    assert together.codes["gradients"] == [0, 0]
    found = load_file(together.folder / f"{cuts}-{rank}.safetensors")
    loss, plain = plain_step(0, "completion")
    assert float(found.pop("loss")) == pytest.approx(loss, rel=1e-5)
    assert found.keys() == plain.keys()
    for name, expected in plain.items():
        assert torch.linalg.norm(found[name] - expected) <= 1e-5 * torch.linalg.norm(expected)


def losses(run: Run) -> list[tuple[int, float, float | None]]:
    return [(line.step, line.loss, line.validation_loss) for line in run.metrics()]


def assert_same_losses(run: Run, expected: Run) -> None:
    found, wanted = losses(run), losses(expected)
    assert [line[0] for line in found] == [line[0] for line in wanted]
    for (_, loss, validation), (_, other, other_validation) in zip(found, wanted, strict=True):
        assert loss == pytest.approx(other, rel=1e-4)
        assert (validation is None) == (other_validation is None)
        assert validation is None or validation == pytest.approx(other_validation, rel=1e-4)


def test_two_processes_have_the_losses_of_one(together: Together) -> None:
    assert together.codes["one"] == [0]
    assert together.codes["two"] == [0, 0]
    assert_same_losses(together.run("two"), together.run("one"))
    assert together.run("two").read_environment()["processes"] == 2


def test_processes_begin_with_one_start_out_of_the_base_and_resume_with_it(
    together: Together,
) -> None:
    assert together.codes["levers of one"] == [0]
    assert together.codes["levers of two"] == [4, 4]
    assert together.codes["levers resumed"] == [0, 0]
    assert_same_losses(together.run("levers"), together.run("levers of one"))


def test_only_the_first_process_writes_and_prints(together: Together) -> None:
    names = [each.event for each in together.run("two").events()]
    assert names.count("started") == names.count("finished") == 1
    checkpoints = [each for each in together.run("two").events() if each.event == "checkpoint"]
    assert [each.step for each in checkpoints] == [5, 10, 15, 16]
    documents = [line for line in together.output.splitlines() if line.startswith("{")]
    assert len(documents) == 1


def test_a_run_goes_on_with_another_number_of_processes(together: Together) -> None:
    assert together.codes["part of three"] == [4, 4, 4]
    assert together.codes["rest of one"] == [0]
    assert_same_losses(together.run("changing"), together.run("one"))
    changed = [e for e in together.run("changing").events() if e.event == "environment"]
    assert "processes: 3 -> 1" in changed[0].details["changes"]


def test_a_signal_to_one_process_stops_all_of_them_together(together: Together) -> None:
    assert together.codes["SIGTERM to 1"] == [4, 4]
    stopped = [e for e in together.run("SIGTERM to 1").events() if e.event == "stopped"]
    assert [each.details["reason"] for each in stopped] == ["signal"]
    assert together.codes["after SIGTERM to 1"] == [0]
    assert_same_losses(together.run("SIGTERM to 1"), together.run("one"))


def test_when_one_process_is_out_of_memory_all_climb_and_repeat_the_step(
    together: Together,
) -> None:
    assert together.codes["memory"] == [0, 0]
    told = [
        each for each in together.run("memory").events() if each.event in {"out_of_memory", "rung"}
    ]
    assert [each.details.get("rung") for each in told] == [None, 1, 2]
    assert {each.step for each in told} == {
        0
    }  # in the first step, which the checkpoints then count once
    assert_same_losses(together.run("memory"), together.run("one"))


@pytest.mark.parametrize("what", ["buffer", "norm"])
def test_memory_that_runs_out_after_the_backward_passes_of_one_process_concerns_all(
    together: Together, what: str
) -> None:
    assert together.codes[what] == [0, 0]
    run = together.run(f"memory of {what}")
    told = [each for each in run.events() if each.event in {"out_of_memory", "rung"}]
    assert [(each.step, each.details.get("rung")) for each in told] == [(0, None), (0, 1)]
    assert_same_losses(run, together.run("one"))


def test_memory_that_runs_out_in_the_sum_itself_stops_all(together: Together) -> None:
    assert together.codes["sum"] == [4, 4]
    assert "Memory ran out where the processes exchange their gradients" in together.errors
    assert together.codes["after sum"] == [0]
    assert_same_losses(together.run("memory of sum"), together.run("one"))


@pytest.mark.parametrize(("killed", "expected"), [(0, [-9, 4]), (1, [4, -9])])
def test_a_killed_process_ends_the_others_and_the_run_goes_on(
    together: Together, killed: int, expected: list[int]
) -> None:
    name = f"SIGKILL to {killed}"
    assert together.codes[name] == expected
    assert "Another process of this run has ended" in together.errors
    assert together.codes[f"after {name}"] == [0]
    assert_same_losses(together.run(name), together.run("one"))


def test_alone_everything_is_its_own_answer(recipe_of: Callable[..., Recipe]) -> None:
    from lexitrain.step import Processes, joined_processes

    with joined_processes() as processes:
        assert processes == Processes()
    assert processes.first
    assert processes.any(True)
    assert not processes.any(False)
    assert processes.sums([1.5, 2.0]) == [1.5, 2.0]
    assert processes.from_first(lambda: "told") == "told"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "7"}, "LOCAL_RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}, "MASTER_PORT"),
    ],
)
def test_what_no_launcher_says_is_refused(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], told: str
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"environment variable {told}:"), joined_processes():
        pass
