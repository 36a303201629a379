from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import RecipeError, TaskError
from lexitrain.records.record import Record
from lexitrain.tasks import aliases, find_task, own_targets, registry, unknown_task

PARAPHRASE = """
from lexitrain.tasks import Task, mean

class Paraphrase(Task):
    name = "paraphrase_writing"
    short = "paraphrase"
    schema = {"type": "object", "properties": {"paraphrase": {"type": "string", "minLength": 1}}}

    def statistics(self, records, answers):
        return {"same": mean([a == self.reference(r) for r, a in zip(records, answers)])}

    def trivial(self, train_records):
        return lambda record: {"paraphrase": record.input}
"""


@pytest.fixture
def paraphrase(tmp_path: Path) -> Path:
    path = tmp_path / "paraphrase.py"
    path.write_text(PARAPHRASE)
    return path


def test_the_five_tasks_under_both_names():
    tasks = registry()
    assert list(tasks)[:5] == ["fluency", "vocabulary", "grammar", "dialogue", "explanation"]
    assert aliases(tasks)["grammar_correction"] == aliases(tasks)["grammar"] == "grammar"


def test_a_task_is_found_by_either_name_and_a_near_one_is_proposed() -> None:
    tasks = registry()
    assert find_task("grammar", tasks) is find_task("grammar_correction", tasks) is tasks["grammar"]
    for wrong in ("gramar", "grammar_corection"):
        with pytest.raises(TaskError, match=f"There is no task '{wrong}'") as caught:
            find_task(wrong, tasks, where="--task")
        assert (caught.value.where, caught.value.fix) == ("--task", "Did you mean grammar?")
    with pytest.raises(TaskError) as caught:
        find_task("xyz", tasks)
    assert caught.value.fix == "Tasks: fluency, vocabulary, grammar, dialogue, explanation."


def test_a_name_that_only_the_prompt_has_leads_to_the_short_one() -> None:
    error = unknown_task("grammar_correction", registry(), fix="Look at data.tasks.")
    assert error.fix == "Did you mean grammar? Look at data.tasks."


def test_a_file_of_the_users_own_is_a_task_like_the_others(paraphrase: Path):
    task = registry([str(paraphrase)])["paraphrase"]
    record = Record("paraphrase", "I am glad.", "I am happy.", {})
    assert task.user_turn(record) == "Task: paraphrase_writing\nText: I am glad."
    assert task.answer(record) == '{"paraphrase":"I am happy."}'
    assert task.scores([record], [task.trivial([])(record)]) == {"same": 0.0}
    assert task.scores([record], [task.reference(record)]) == {"same": 1.0}


def test_an_attribute_of_a_module(paraphrase: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(paraphrase.parent))
    assert "paraphrase" in registry(["paraphrase:Paraphrase"])


def test_an_entry_point_is_found_by_itself(paraphrase: Path, monkeypatch: pytest.MonkeyPatch):
    info = paraphrase.parent / "paraphrase-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paraphrase\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lexitrain.tasks]\np = paraphrase:Paraphrase\n")
    monkeypatch.syspath_prepend(str(paraphrase.parent))
    assert "paraphrase" in registry()


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("missing.py", None, "no such file of tasks"),
        ("empty.py", "x = 1", "No task is defined here"),
        ("broken.py", "1 / 0", "ZeroDivisionError"),
        ("twin.py", PARAPHRASE.replace('"paraphrase"\n', '"grammar"\n'), "name of another one"),
        ("half.py", PARAPHRASE.replace("    short", "    other"), "lacks `short`"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, source: str, text: str | None, message: str
):
    path = tmp_path / source
    if text is not None:
        path.write_text(text)
    with pytest.raises(TaskError, match=message) as caught:
        registry([str(path)])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("paraphrase", "names no task"),
        ("no_such_module:Task", "cannot be imported"),
        ("json:nothing", "json has no nothing"),
        ("json:dumps", "no task but function"),
    ],
)
def test_what_is_wrong_with_an_attribute_is_said(source: str, message: str):
    with pytest.raises(TaskError, match=message):
        registry([source])


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{'properties': {'a': {'type': 'string'}}}", "schema.type is None"),
        ("{'type': 'object', 'properties': {}}", "names no keys"),
        ("{'type': 'object', 'properties': {'a': {'type': 'boolean'}}}", "properties.a.type"),
        ("{'type': 'array', 'items': {'type': 'string'}}", "one JSON object"),
    ],
)
def test_a_schema_that_is_not_understood_is_refused(tmp_path: Path, schema: str, reason: str):
    source = (
        "from lexitrain.tasks import Task\n"
        "class Odd(Task):\n"
        "    name = short = 'odd'\n"
        f"    schema = {schema}\n"
        "    def statistics(self, records, answers): return {}\n"
        "    def trivial(self, train_records): return lambda record: {}\n"
    )
    (tmp_path / "odd.py").write_text(source)
    with pytest.raises(TaskError, match=reason):
        registry([str(tmp_path / "odd.py")])


def test_a_task_file_that_exits_is_told_of(tmp_path: Path):
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(TaskError, match="SystemExit"):
        registry([str(tmp_path / "leaving.py")])


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ({"vocabulary": {"acuracy": 0.8}}, "Did you mean accuracy"),
        ({"vocabulary": {"accuracy": 90}}, "Did you mean 0.9"),
        ({"vocabulry": {"accuracy": 0.9}}, "vocabulry"),
        ({"fluency": {"bias": 0.1}}, "no better higher or lower"),
    ],
)
def test_a_target_that_no_score_can_have_is_refused(
    targets: dict[str, dict[str, float]], told: str
) -> None:
    with pytest.raises(RecipeError) as raised:
        own_targets(targets, registry(), where="the recipe")
    assert told in str(raised.value)


def test_a_target_has_its_scores_side_and_other_tasks_may_be_left_out() -> None:
    found = own_targets(
        {"grammar": {"f0.5": 0.5, "over_correction": 0.1}, "mine": {"x": 7}},
        registry(),
        where="the recipe",
        skip_unknown=True,
    )
    assert found == {"grammar": {"f0.5": (">", 0.5), "over_correction": ("<", 0.1)}}


def test_the_built_in_tasks_name_the_scores_that_they_give() -> None:
    types = {"metadata": {"error_type": "agreement"}}
    row = {"grammar": {"corrected": "a"}, "fluency": {"fluency_score": 1.0}}
    row |= {"vocabulary": {"level": "A1"}, "explanation": {"explanation": "a"}}
    row |= {"dialogue": {"response": "a", "strategy": "b"}}
    for name, task in registry().items():
        record = Record(name, "a", row[name], **types)
        assert task.statistics([record], [None]).keys() == task.score_names
        assert task.score_names >= task.targets.keys() | task.lower_is_better
