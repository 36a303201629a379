"""A run folder that somebody else made executes nothing of his, unless the user says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lexitrain import InputError, evaluate
from lexitrain.cli.main import run as lexitrain
from lexitrain.recipe.schema import Recipe
from lexitrain.records.record import Record
from lexitrain.runs.folder import Run
from tests.taught import RECORDS, save_base, save_records, save_run, taught_model

TASK = """
from pathlib import Path
from lexitrain.tasks.vocabulary import Vocabulary

Path({trace!r}).write_text("executed")

class Words(Vocabulary):
    name = "words_classification"
    short = "words"
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"), taught_model())


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture
def task_file(tmp_path: Path, trace: Path) -> Path:
    path = tmp_path / "words.py"
    path.write_text(TASK.format(trace=str(trace)))
    return path


def received(folder: Path, base: Path, *sources: str) -> Run:
    run = save_run(folder, base)
    recipe: Recipe = run.read_recipe()
    data = recipe.data.model_copy(update={"custom_tasks": sources})
    run.write_recipe(recipe.model_copy(update={"data": data}))
    return run


@pytest.fixture(params=["file", "copy", "module"])
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    base: Path,
    task_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """A run that names code as a file, holds a copy of it, or names a module."""
    if request.param == "module":
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "words", raising=False)
        return received(tmp_path / "run", base, "words:Words")
    run = received(tmp_path / "run", base, str(task_file))
    if request.param == "copy":
        (run.path / "tasks").mkdir()
        task_file.rename(run.path / "tasks" / "words.py")
    return run


def test_a_built_in_task_is_answered_and_the_runs_code_left_alone(run: Run, trace: Path) -> None:
    assert lexitrain(["predict", str(run.path), "cat", "--task", "vocabulary"]) == 0
    assert not trace.exists()


def test_a_task_of_the_run_is_refused_without_trust_and_known_with_it(
    run: Run, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["predict", str(run.path), "cat", "--task", "words"]
    assert lexitrain(ask) == 2
    shown = capsys.readouterr().err
    assert "is not built in" in shown
    assert "--trust-tasks" in shown
    assert "--custom-task" in shown
    assert lexitrain(["predict", str(run.path), "cat", "--task", "gramar"]) == 2
    assert "Did you mean grammar?" in capsys.readouterr().err
    assert not trace.exists()
    assert lexitrain([*ask, "--trust-tasks", "--json"]) in {
        0,
        2,
    }  # the model never learnt this prompt
    assert json.loads(capsys.readouterr().out)["task"] == "words"
    assert trace.exists()


def test_evaluate_scores_what_is_built_in_and_says_what_it_left_out(
    run: Run, trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = Record("words", "tree", {"level": "A1", "key_words": []}, {})
    data = save_records(tmp_path / "mixed.jsonl", (*RECORDS[:3], words))
    assert lexitrain(["evaluate", str(run.path), "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "Not scored: 1 (the task 'words' is not built in" in shown
    assert "--trust-tasks" in shown
    assert lexitrain(["evaluate", str(run.path), "--data", str(data), "--task", "words"]) == 2
    assert "--trust-tasks" in capsys.readouterr().err
    only = save_records(tmp_path / "only.jsonl", (words,))
    with pytest.raises(InputError, match="not built in"):
        evaluate(run.path, only)
    assert not trace.exists()
    report = evaluate(run.path, data, trust_tasks=True)
    assert list(report.evaluation.tasks) == ["fluency", "vocabulary", "words"]
    assert not report.evaluation.unscored
    assert trace.exists()


def test_a_file_named_on_the_command_line_is_the_users_own_word(
    base: Path, tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = tmp_path / "elsewhere" / "words.py"
    evil.parent.mkdir()
    evil.write_text("raise SystemExit('executed')")
    run = received(tmp_path / "run", base, str(evil))
    mine = tmp_path / "words.py"
    mine.write_text(TASK.format(trace=str(trace)))
    monkeypatch.chdir(tmp_path)
    ask = ["predict", str(run.path), "cat", "--task", "words"]
    assert lexitrain([*ask, "--custom-task", "words.py", "--json"]) in {0, 2}
    assert trace.read_text() == "executed"


def test_a_relative_name_in_an_older_run_does_not_stop_built_in_tasks(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = received(tmp_path / "run", base, "words.py")
    assert lexitrain(["predict", str(run.path), "cat", "--task", "vocabulary"]) == 0
    capsys.readouterr()
    assert lexitrain(["predict", str(run.path), "cat", "--task", "words", "--trust-tasks"]) == 2
    assert "neither there nor in the run" in capsys.readouterr().err


def test_a_run_of_ones_own_is_asked_from_another_folder(
    tmp_path: Path, trace: Path, task_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is given as `words.py` when the run is trained, and found from elsewhere."""
    data = tmp_path / "data"
    data.mkdir()
    rows = [Record("words", f"tree {n}", {"level": "A1", "key_words": []}, {}) for n in range(12)]
    save_records(data / "train.jsonl", tuple(rows))
    monkeypatch.chdir(task_file.parent)
    small = ["schedule.epochs=1", "lora.rank=2", "data.workers=0", "data.custom_tasks=[words.py]"]
    settings = [part for each in small for part in ("--set", each)]
    run = tmp_path / "run"
    command = ["train", "--recipe", "demo", "--data", str(data), "--run", str(run), *settings]
    assert lexitrain([*command, "--json"]) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    trace.unlink()
    assert lexitrain(["predict", str(run), "tree"]) == 2  # its only task is its own
    assert not trace.exists()
    assert lexitrain(["predict", str(run), "tree", "--trust-tasks"]) in {0, 2}
    assert trace.exists()
