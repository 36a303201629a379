from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lexitrain import Answerer, Tutor, answer
from lexitrain.errors import DataError, InputError, ModelError, RunError, TaskError
from lexitrain.evaluation import LocatedModel
from lexitrain.evaluation import answering as answering_module
from lexitrain.evaluation import tutor as tutor_module
from tests.taught import RECORDS, save_run

ASKED = [(record.task, record.input) for record in RECORDS]


def test_one_loaded_model_answers_every_task_as_predict_does(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base)
    tutor = Tutor(run.path)
    for record in RECORDS:
        given = tutor.answer(record.task, record.input)
        assert given.answer == record.output
        assert (given.task, given.valid, given.problem) == (record.task, True, None)
        assert [given] == answer(run.path, [record.input], task=record.task)


def test_it_is_loaded_once(base: Path, monkeypatch: pytest.MonkeyPatch):
    loaded: list[str] = []

    class Counted(Answerer):
        def __init__(self, model: str | Path, *args: object, **named: object) -> None:
            loaded.append(str(model))
            super().__init__(model, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(tutor_module, "Answerer", Counted)
    tutor = Tutor(base)
    models = {id(tutor._answerer.for_task(task)._loaded.model) for task, _ in ASKED}
    assert (loaded, len(models)) == ([str(base)], 1)


def test_several_texts_are_answered_together(base: Path):
    tutor = Tutor(base)
    both = tutor.answers("vocabulary", ["cat", "garden"])
    assert [each.answer["level"] for each in both if each.answer] == ["A1", "B1"]
    assert both == [tutor.answer("vocabulary", text) for text in ("cat", "garden")]
    assert tutor.answers("vocabulary", []) == []


def test_one_text_in_place_of_a_list_is_refused(base: Path):
    """Its letters would be asked one by one."""
    with pytest.raises(InputError, match="letters"):
        Tutor(base).answers("grammar", "He go.")
    with pytest.raises(InputError, match="letters"):
        Answerer(base, "grammar").answer("He go.")


def test_each_task_has_its_own_adapter_whoever_asks(base: Path, tmp_path: Path):
    """Two threads that ask for two tasks never get each other's adapter."""
    for task, scale in (("grammar", 0.4), ("fluency", -0.6)):
        save_run(tmp_path / "run" / task, base, tasks=(task,), scale=scale)
    wanted = {
        task: Answerer(tmp_path / "run" / task).answer([text])[0].text
        for task, text in (("grammar", "He go."), ("fluency", "He go."))
    }
    tutor = Tutor(tmp_path / "run")
    assert set(tutor.tasks) == {"grammar", "fluency"}
    asked = ["grammar", "fluency"] * 8
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda task: tutor.answer(task, "He go.").text, asked))
    assert said == [wanted[task] for task in asked]
    with pytest.raises(TaskError, match="no adapter for the task dialogue"):
        tutor.answer("dialogue", "Student: Hi")


def test_an_answerer_for_another_task_leaves_the_first_as_it_was(base: Path, tmp_path: Path):
    for task, scale in (("grammar", 0.4), ("fluency", -0.6)):
        save_run(tmp_path / "run" / task, base, tasks=(task,), scale=scale)
    grammar = Answerer(tmp_path / "run", "grammar")
    before = grammar.answer(["He go."])
    fluency = grammar.for_task("fluency")
    assert (grammar.task.short, fluency.task.short) == ("grammar", "fluency")
    assert fluency.answer(["He go."]) == Answerer(tmp_path / "run/fluency").answer(["He go."])
    assert grammar.answer(["He go."]) == before


def test_tasks_are_those_of_training(base: Path, tmp_path: Path):
    run = save_run(tmp_path / "run", base, tasks=("vocabulary", "grammar"))
    assert Tutor(run.path).tasks == ("vocabulary", "grammar")
    assert {task for task, _ in ASKED} <= set(Tutor(base).tasks)


def test_what_cannot_be_asked_is_said(base: Path):
    tutor = Tutor(base)
    with pytest.raises(TaskError, match=r"Did you mean|no task"):
        tutor.answer("gramar", "He go.")
    with pytest.raises(DataError, match=r"text: .*empty"):
        tutor.answer("grammar", "  ")
    with pytest.raises(DataError, match=r"texts\[1\]"):
        tutor.answers("grammar", ["He go.", ""])


def test_a_model_that_cannot_be_loaded_is_said(tmp_path: Path):
    with pytest.raises(RunError, match="no such run or model"):
        Tutor(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="no run, no adapter and no model"):
        Tutor(tmp_path / "folder")


def test_an_answer_may_be_held_to_the_schema(base: Path):
    pytest.importorskip("llguidance")
    given = Tutor(base, json_schema=True).answer("vocabulary", "house")
    assert given.valid or given.truncated
    assert json.loads(given.text)["level"] in {"A1", "A2", "B1", "B2", "C1", "C2"}


def test_it_is_looked_for_once_and_the_code_of_its_tasks_is_run_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    located: list[str] = []
    real = answering_module.locate_model

    def counted(model: str | Path) -> LocatedModel:
        located.append(str(model))
        return real(model)

    monkeypatch.setattr(answering_module, "locate_model", counted)
    own = tmp_path / "own.py"
    own.write_text(
        "from pathlib import Path\nfrom lexitrain.tasks.fluency import Fluency\n"
        f"with Path({str(tmp_path / 'runs')!r}).open('a') as file:\n    file.write('x')\n"
        "class Mine(Fluency):\n    short = 'mine'\n    name = 'my own'\n"
    )
    tutor = Tutor(base, custom_tasks=[str(own)])
    assert "mine" in tutor.tasks
    assert located == [str(base)]
    assert (tmp_path / "runs").read_text() == "x"


def test_a_text_whose_end_is_not_read_is_told(base: Path):
    tutor = Tutor(base)
    long = "He go to school. " * 6000
    given = tutor.answer("grammar", long)
    assert given.shortened
    assert given.input == long.strip()
    assert given.to_json()["shortened"] is True
    short, end = tutor.answers("grammar", ["He go.", long])
    assert (short.shortened, end.shortened) == (False, True)
    assert "shortened" not in short.to_json()


@pytest.mark.parametrize("texts", [None, 5, b"He go.", {"He go.": 1}, {"He go."}, iter(["He go."])])
def test_what_is_no_list_of_texts_is_refused(base: Path, texts: object):
    with pytest.raises(InputError, match="Give a list of texts"):
        Tutor(base).answers("grammar", texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [None, 5, ["grammar"]])
def test_what_names_no_task_is_refused(base: Path, task: object):
    with pytest.raises(TaskError, match="grammar"):
        Tutor(base).answer(task, "He go.")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " \n\t", "\0", None, 5, b"He go.", "He \ud800 go."])
def test_what_is_no_text_is_refused(base: Path, text: object):
    with pytest.raises(DataError, match=r"^text: "):
        Tutor(base).answer("grammar", text)  # type: ignore[arg-type]
    assert Tutor(base).answer("grammar", "He \0 go.").input == "He go."
