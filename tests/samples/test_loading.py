"""From a data folder to samples: what is kept, what is counted, what is recognized as changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import InputError
from lexitrain.recipe.schema import Recipe
from lexitrain.records.record import Record
from lexitrain.runs.folder import Run
from lexitrain.samples import loading as loading_module
from lexitrain.samples.loading import RunSamples, load_samples
from lexitrain.tasks import registry
from lexitrain.training.recovery.accepted_changes import data_differences
from tests.tiny import tiny_tokenizer

RecipeOf = Callable[..., Recipe]

CUSTOM_TASK = """
from lexitrain.tasks import Task

class Echo(Task):
    name = "echo"
    short = "echo"
    schema = {"type": "object", "properties": {"echo": {"type": "string"}}}

    def statistics(self, records, answers):
        return {}

    def trivial(self, train_records):
        return lambda record: {"echo": record.input}
"""


@pytest.fixture
def load(recipe_of: RecipeOf, data_dir: Path, tmp_path: Path) -> Callable[..., RunSamples]:
    def loaded(*settings: str, tokenizer: Any = None) -> RunSamples:
        recipe = recipe_of(settings)
        tasks = registry(recipe.data.custom_tasks)
        run = Run(tmp_path / "run")
        found = load_samples(run, data_dir, recipe, tasks, tokenizer or tiny_tokenizer())
        found.save_new(run)
        return found

    return loaded


def test_the_second_time_samples_come_from_the_run(
    load: Callable[..., RunSamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load()
    assert set(first.new) == {"train", "validation"}
    monkeypatch.setattr(loading_module, "_rendered", None)
    second = load()
    assert second.new == {}
    assert second.summary == first.summary
    assert first.summary.samples["validation"] == {"fluency": 2, "grammar": 6}


def test_rows_are_those_of_the_file_when_tasks_are_chosen(load: Callable[..., RunSamples]) -> None:
    chosen = load("data.tasks=[fluency]")
    assert [sample.index for sample in chosen.train] == list(range(0, 40, 3))
    assert {sample.task for sample in chosen.train} == {"fluency"}


def test_what_does_not_fit_is_counted(load: Callable[..., RunSamples], data_dir: Path) -> None:
    long = Record("grammar", "short", {"corrected": "word " * 300, "errors": []}, {})
    cut = Record("fluency", "word " * 300, {"fluency_score": 0.5, "reasoning": "ok"}, {})
    with (data_dir / "train.jsonl").open("a") as file:
        file.write(long.to_json() + "\n" + cut.to_json() + "\n")
    summary = load().summary
    assert summary.skipped == {"train": 1, "validation": 0}
    assert summary.truncated == {"train": 1, "validation": 0}
    assert summary.samples["train"] == {"fluency": 15, "grammar": 26}
    assert summary.token_lengths["train"]["max"] == 256


def test_when_nothing_fits_the_reason_is_told(load: Callable[..., RunSamples]) -> None:
    with pytest.raises(InputError, match=r"None of the records can be used.*tokens"):
        load("data.max_length=40")


def test_a_change_of_template_length_or_task_code_is_seen(
    load: Callable[..., RunSamples], tmp_path: Path
) -> None:
    plain = load()
    tokenizer = tiny_tokenizer().__class__(tokenizer_object=tiny_tokenizer().backend_tokenizer)
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    template = str(tiny_tokenizer().chat_template)
    tokenizer.chat_template = template.replace("message['content']", "' ' + message['content']")
    other = load(tokenizer=tokenizer)
    assert other.new
    assert data_differences(plain.summary, other.summary) == [
        "the same records give other tokens (tokenizer, chat template, or a task's code changed)"
    ]
    assert load("data.max_length=300").new

    task = tmp_path / "echo.py"
    task.write_text(CUSTOM_TASK)
    assert load(f"data.custom_tasks=[{task}]").new
    assert not load(f"data.custom_tasks=[{task}]").new
    task.write_text(CUSTOM_TASK + "\n# changed\n")
    assert load(f"data.custom_tasks=[{task}]").new
