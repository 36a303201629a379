"""A tiny base model and a few records on disk, so that a whole training run takes a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.records.record import Record
from tests.tiny import tiny_model, tiny_tokenizer

WORDS = ("cat", "dog", "school", "garden", "book", "friend", "river", "window")


def records(count: int, start: int = 0) -> list[Record]:
    """Short grammar and fluency records, all different."""
    made: list[Record] = []
    for number in range(start, start + count):
        word, other = WORDS[number % 8], WORDS[number // 8 % 8]
        text = f"She like the {word} and the {other} {number}."
        if number % 3:
            corrected = text.replace("like", "likes")
            errors = [{"type": "agreement", "span": "like"}]
            made.append(Record("grammar", text, {"corrected": corrected, "errors": errors}, {}))
        else:
            score = {"fluency_score": number % 10 / 10, "reasoning": f"about {word}"}
            made.append(Record("fluency", text, score, {}))
    return made


def write_data(folder: Path, train: int = 40, validation: int = 8) -> Path:
    """A data folder as `data prepare` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", records(train)), ("validation", records(validation, 1000))):
        lines = "".join(record.to_json() + "\n" for record in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer model and its tokenizer."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture
def recipe_of(tiny_base: Path):
    """Makes a recipe for the tiny base: 40 samples, 5 to a step, 4 epochs give 32 steps."""

    def make(overrides: Sequence[str] = ()) -> Recipe:
        return load_recipe(
            "demo",
            [
                f"model.base={tiny_base}",
                "lora.rank=4",
                "data.workers=0",
                "step.effective_batch=5",
                "schedule.epochs=4",
                "checkpoints.every=5",
                "log_every=2",
                *overrides,
            ],
        )

    return make
