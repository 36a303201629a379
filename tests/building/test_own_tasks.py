"""A build of records of the user's own task: its recipe names it, and its code decides what is done again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain import Choices, build, outlook
from lexitrain.errors import LimitNotMet, Stopped

pytestmark = pytest.mark.slow

TASK = """
from lexitrain.tasks import Task

class Paraphrase(Task):
    '''Says the same in other words.'''

    name = "paraphrase"
    short = "paraphrase"
    schema = {"type": "object", "properties": {"paraphrase": {"type": "string", "minLength": 1}}}

    def statistics(self, records, answers):
        return {}

    def trivial(self, train_records):
        return lambda record: {"paraphrase": record.input}
"""


@pytest.fixture
def choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choices:
    monkeypatch.chdir(tmp_path)
    Path("paraphrase.py").write_text(TASK)
    Path("ours.yaml").write_text(
        "extends: demo\nname: ours\ndata:\n  custom_tasks: [paraphrase.py]\n"
    )
    rows = [
        {
            "task": "paraphrase",
            "input": f"She has {n} dogs.",
            "output": {"paraphrase": f"{n} dogs are hers."},
        }
        for n in range(120)
    ]
    Path("records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Choices(("records.jsonl",), Path("tutor"), recipe="ours.yaml", stop_after=1e-3)


def test_an_edited_task_is_prepared_anew_and_an_unchanged_one_is_not(choices: Choices) -> None:
    def begun() -> list[str]:
        told = _Told()
        with pytest.raises(Stopped):
            build(choices, told)
        return told.begun

    assert begun() == ["prepare", "plan", "preflight", "train"]
    assert begun() == ["train"]
    Path("paraphrase.py").write_text(TASK.replace("the same in", "it in"))
    assert begun() == ["prepare", "plan", "preflight", "train"]


def test_shipped_recipes_are_planned_with_its_records_too(choices: Choices) -> None:
    hopeless = Choices(choices.records, choices.folder, recipe="ours.yaml", hours=1e-6, gpu="T4")
    with pytest.raises(LimitNotMet, match="Nothing fits"):
        build(hopeless)


def test_an_outlook_reads_the_records_of_its_recipes_own_task(choices: Choices) -> None:
    found = outlook(choices)
    assert found.recipe.data.custom_tasks == (str(Path("paraphrase.py").absolute()),)
    assert not choices.folder.exists()


class _Told:
    """Notes which stages begin."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begins(self, stage: str, *_place: int) -> None:
        self.begun.append(stage)

    def skipped(self, stage: str, number: int, count: int) -> None:
        """Ignored."""

    def says(self, sentence: str) -> None:
        """Ignored."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Ignored."""

    def training(self) -> None:
        """Nobody."""
