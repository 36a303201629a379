"""A new machine goes on with nothing but the mirror and the command: data, recipe file and task file are lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lexitrain.cli.main import run as lexitrain
from lexitrain.errors import InputError
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe, recipe_to_yaml
from lexitrain.records.record import Record
from lexitrain.runs import kept_folder, list_runs
from lexitrain.runs.folder import Run
from lexitrain.runs.task_copies import copy_names
from lexitrain.training import run_recipe, train
from tests.small_runs import write_data
from tests.training.test_train import assert_equal_runs

RecipeOf = Callable[..., Recipe]

TASK = """
from pathlib import Path

from lexitrain.tasks import Task

with Path({witness!r}).open("a") as file:
    file.write("run\\n")


class Shout(Task):
    name = "shouting"
    short = "shout"
    schema = {{"type": "object", "properties": {{"loud": {{"type": "string", "minLength": 1}}}}}}

    def statistics(self, records, answers):
        return {{}}

    def trivial(self, train_records):
        return lambda record: {{"loud": record.input}}
"""


def write_disk(disk: Path, witness: Path) -> None:
    """A disk with prepared data, a task of the user's own and records of it."""
    data = write_data(disk / "data", train=20)
    own = [Record("shout", f"hello {n}", {"loud": f"HELLO {n}"}, {}) for n in range(20)]
    with (data / "train.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(record.to_json() + "\n" for record in own)
    (data / "test.jsonl").write_text(own[0].to_json() + "\n", "utf-8")
    (disk / "mine.py").write_text(TASK.format(witness=str(witness)), "utf-8")


@pytest.fixture
def command(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command with paths of a disk that will be lost; the mirror and the base are elsewhere."""
    monkeypatch.chdir(tmp_path)
    write_disk(tmp_path / "disk", tmp_path / "witness")
    settings = [
        *(f"model.base={tiny_base}", "lora.rank=4", "data.workers=0", "step.effective_batch=5"),
        *("schedule.epochs=2", "checkpoints.every=5", "log_every=2"),
    ]
    return [
        *("train", "--recipe", "demo", "--data", "disk/data", "--run", "disk/runs/one"),
        *("--mirror", str(tmp_path / "drive"), "--set", "data.custom_tasks=[disk/mine.py]"),
        *(f"--set={each}" for each in settings),
    ]


def executed(folder: Path) -> int:
    witness = folder / "witness"
    return witness.read_text().count("\n") if witness.exists() else 0


def test_the_same_command_goes_on_from_the_mirror_alone_to_the_same_bytes(
    command: list[str], tmp_path: Path
) -> None:
    straight = [each for each in command if each not in {"--mirror", str(tmp_path / "drive")}]
    straight[straight.index("disk/runs/one")] = "straight"
    assert lexitrain(straight) == 0

    assert lexitrain([*command, "--stop-after-step", "7"]) == 4
    shutil.rmtree(tmp_path / "disk")

    assert lexitrain(command) == 0
    assert_equal_runs(tmp_path / "disk" / "runs" / "one", tmp_path / "straight")
    assert "rescued" in [each.event for each in Run("disk/runs/one").events()]
    assert (tmp_path / "disk" / "runs" / "one" / "tasks" / "mine.py").is_file()

    shutil.rmtree(tmp_path / "disk")  # and once more when it has finished
    assert lexitrain(command) == 0
    assert_equal_runs(tmp_path / "disk" / "runs" / "one", tmp_path / "straight")


def test_a_recipe_file_that_is_lost_is_the_runs_own(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [each.removeprefix("--set=") for each in command if each.startswith("--set=")]
    recipe = load_recipe("demo", settings)
    (tmp_path / "disk" / "small.yaml").write_text(recipe_to_yaml(recipe))
    data = [*("--data", "disk/data", "--mirror", "drive", "--set", "data.tasks=[grammar, fluency]")]
    small = ["train", "--recipe", "disk/small.yaml", *data, "--run", "disk/runs/two"]
    assert lexitrain([*small, "--stop-after-step", "3"]) == 4
    shutil.rmtree(tmp_path / "disk")
    assert lexitrain(small) == 0
    assert "There is no disk/small.yaml: taking the run's own recipe" in capsys.readouterr().err
    for wrong in (
        [*small[:2], "smal", *small[3:]],
        [*small, "--fresh"],
        [*small, "--accept-changes"],
        [*small[:-1], "disk/runs/new"],
    ):
        assert lexitrain(wrong) == 2
        assert "There is no recipe" in capsys.readouterr().err


def test_a_run_folder_alone_makes_nobody_execute_its_tasks(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lexitrain([*command, "--stop-after-step", "3"]) == 4
    shutil.rmtree(tmp_path / "disk")
    before = executed(tmp_path)
    capsys.readouterr()
    alone = ["train", "--run", "disk/runs/one", "--mirror", "drive"]
    assert lexitrain(alone) == 2
    said = capsys.readouterr().err
    assert "--trust-tasks" in said
    # The file that would be executed is named, not that of the machine that is gone.
    assert "drive/one/tasks/mine.py" in said
    assert "disk/mine.py" not in said
    assert "drive/one/tasks/mine.py" in list_runs("drive")[0].next
    assert executed(tmp_path) == before
    assert not (tmp_path / "disk").exists()
    assert lexitrain([*alone, "--trust-tasks", "--stop-after-step", "5"]) == 4
    assert executed(tmp_path) > before
    assert lexitrain([*alone, "--set", "data.custom_tasks=[disk/mine.py]"]) == 0


def test_run_alone_goes_on_with_its_own_recipe_and_data(
    tiny_base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data")
    settings = [
        *("--set", f"model.base={tiny_base}", "--set", "lora.rank=4", "--set", "data.workers=0"),
        *("--set", "step.effective_batch=5", "--set", "schedule.epochs=1"),
    ]
    start = ["train", "--recipe", "demo", "--data", "~/data", "--run", "~/my runs/x"]
    assert lexitrain([*start, *settings, "--mirror", "~/drive", "--stop-after-step", "3"]) == 4
    assert (tmp_path / "my runs" / "x" / "recipe.yaml").is_file()
    assert (tmp_path / "drive" / "x" / "recipe.yaml").is_file()
    capsys.readouterr()
    assert lexitrain(start) == 2  # the settings were forgotten
    said = capsys.readouterr().err
    assert f"lexitrain train --run '{tmp_path}/my runs/x'" in said
    assert lexitrain(["train", "--run", "~/my runs/x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert Run("~/my runs/x").read_recipe().name == "demo"


def test_a_new_run_needs_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lexitrain(["train", "--run", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert "A new run needs data" in said
    assert "--mirror DIR" in said  # a run that is lost here may lie there
    file = tmp_path / "records.jsonl"
    file.write_text("{}")
    assert lexitrain(["train", "--run", str(tmp_path / "new"), "--data", str(file)]) == 2
    assert "a file, not a folder of prepared data" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_other_data_are_never_replaced_by_the_copy(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, drive = tmp_path / "run", tmp_path / "drive"
    train(recipe_of(), data_dir, run, mirror=drive, stop_after_step=3)
    kept = kept_folder(drive, Run(run).read_data().files)
    assert (kept / "train.jsonl").read_bytes() == (data_dir / "train.jsonl").read_bytes()
    with pytest.raises(InputError, match="other data"):
        train(recipe_of(), write_data(tmp_path / "others", train=30), run)
    with pytest.raises(InputError, match=r"There is no train\.jsonl here"):
        train(recipe_of(), tmp_path, run)  # a folder that is there and holds no data is a mistake
    gone = tmp_path / "gone"
    with pytest.raises(InputError, match="no such data folder"):
        train(recipe_of(), gone, run, accept_changes=True)
    with pytest.raises(InputError, match="no such data folder"):
        train(recipe_of(), gone, run, fresh=True)
    write_data(kept, train=39)
    with pytest.raises(InputError, match="other data"):
        train(recipe_of(), gone, run)


def test_a_run_in_the_mirror_finds_the_data_beside_it(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    recipe, drive = recipe_of(["schedule.epochs=1"]), tmp_path / "drive"
    train(recipe, data_dir, tmp_path / "run", mirror=drive, stop_after_step=3)
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(data_dir)
    drive.rename(tmp_path / "moved")  # as on another machine
    drive = tmp_path / "moved"
    assert list_runs(drive)[0].next == f"lexitrain train --run {drive / 'run'}"
    own = run_recipe(drive / "run")
    assert own is not None
    assert train(own, None, drive / "run").state == "finished"
    assert not (
        tmp_path / "drive"
    ).exists()  # the mirror is where the run lies, and is not made anew


def test_accepted_data_are_kept_too_and_shared_between_runs(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    drive, other = tmp_path / "drive", write_data(tmp_path / "other", train=30)
    short = recipe_of(["schedule.epochs=1"])
    for name in ("one", "two"):
        train(short, data_dir, tmp_path / name, mirror=drive, stop_after_step=2)
    assert len(list((drive / "prepared-data").iterdir())) == 1
    train(short, other, tmp_path / "one", mirror=drive, accept_changes=True, stop_after_step=4)
    assert len(list((drive / "prepared-data").iterdir())) == 2
    shutil.rmtree(tmp_path / "one")
    shutil.rmtree(other)
    assert train(short, other, tmp_path / "one", mirror=drive).state == "finished"


def test_one_adapter_per_task_goes_on_from_the_mirror_alone(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    recipe, drive = recipe_of(["data.adapters=per_task", "schedule.epochs=1"]), tmp_path / "drive"
    train(recipe, data_dir, tmp_path / "straight")
    train(recipe, data_dir, tmp_path / "run", mirror=drive, stop_after_step=2)
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(data_dir)
    assert train(recipe, data_dir, tmp_path / "run", mirror=drive).state == "finished"
    for task in ("grammar", "fluency"):
        assert_equal_runs(tmp_path / "run" / task, tmp_path / "straight" / task)
    with pytest.raises(InputError, match="holds runs, and no recipe of its own"):
        run_recipe(tmp_path / "run")


def test_a_start_adapter_is_not_needed_any_more(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    train(recipe_of(["schedule.epochs=1"]), data_dir, tmp_path / "first")
    start = tmp_path / "start"
    shutil.copytree(tmp_path / "first" / "adapter", start)
    recipe = recipe_of([f"model.adapter={start}", "schedule.epochs=1"])
    train(recipe, data_dir, tmp_path / "straight")
    train(recipe, data_dir, tmp_path / "run", stop_after_step=3)
    shutil.rmtree(start)
    assert train(recipe, data_dir, tmp_path / "run").state == "finished"
    assert_equal_runs(tmp_path / "run", tmp_path / "straight")


def test_copies_of_one_name_are_told_apart() -> None:
    names = copy_names(("a/mine.py", "b/mine.py", "package:Task", "mine-2.py", "a/mine.py"))
    assert names == {"a/mine.py": "mine.py", "b/mine.py": "mine-2.py", "mine-2.py": "mine-2-2.py"}
