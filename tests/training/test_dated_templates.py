"""A template that writes the date: it stays that of the run's first day, whoever asks and whenever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lexitrain.evaluation.sources.located_model import locate_model
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.samples.template_date import date_in
from lexitrain.training import start
from lexitrain.training.start import train
from tests.tiny import CHAT_TEMPLATE

RecipeOf = Callable[..., Recipe]
FIRST, NEXT = date(2026, 2, 3), date(2026, 2, 4)


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> Callable[[date], None]:
    """Sets the day on which `train` is called."""

    def set_day(day: date) -> None:
        class Day(date):
            @classmethod
            def today(cls) -> date:  # pyright: ignore[reportIncompatibleMethodOverride]
                return day

        monkeypatch.setattr(start, "date", Day)

    return set_day


@pytest.fixture
def dated(recipe_of: RecipeOf, tiny_base: Path, tmp_path: Path) -> RecipeOf:
    """Makes recipes for a base whose template writes the date."""
    base = tmp_path / "dated"
    shutil.copytree(tiny_base, base)
    template = "<|im_start|>system\nIt is {{ strftime_now('%d %b %Y') }}.<|im_end|>\n"
    (base / "chat_template.jinja").write_text(template + CHAT_TEMPLATE, encoding="utf-8")
    return lambda *settings: recipe_of([f"model.base={base}", "schedule.epochs=1", *settings])


def test_a_run_keeps_its_first_day(
    dated: RecipeOf, data_dir: Path, tmp_path: Path, today: Callable[[date], None]
) -> None:
    run, mirror = tmp_path / "run", tmp_path / "mirror"
    today(FIRST)
    train(dated(), data_dir, run, mirror=mirror, stop_after_step=3)
    before = Run(run).read_data()
    assert before.day == "2026-02-03"
    assert locate_model(run).day == FIRST

    shutil.rmtree(run)  # a new machine, the next day
    today(NEXT)
    assert train(dated(), data_dir, run, mirror=mirror).state == "finished"
    assert Run(run).read_data() == before
    assert locate_model(run).day == FIRST
    saved = AutoTokenizer.from_pretrained(run / "adapter")
    assert date_in(saved.chat_template) == "2026-02-03"
    turns = [{"role": "user", "content": "a"}]
    assert "It is 03 Feb 2026." in saved.apply_chat_template(turns, tokenize=False)


def test_adapters_of_one_run_have_one_day(
    dated: RecipeOf, data_dir: Path, tmp_path: Path, today: Callable[[date], None]
) -> None:
    recipe = dated("data.adapters=per_task")
    today(FIRST)
    train(recipe, data_dir, tmp_path / "run", stop_after_step=1)
    shutil.rmtree(tmp_path / "run" / "grammar")  # as if it had not begun
    today(NEXT)
    train(recipe, data_dir, tmp_path / "run")
    parts = [Run(tmp_path / "run" / task).read_data().day for task in ("fluency", "grammar")]
    assert parts == ["2026-02-03"] * 2
    assert locate_model(tmp_path / "run").day == FIRST


def test_a_run_that_knows_no_day_has_that_of_its_first_event(
    dated: RecipeOf, data_dir: Path, tmp_path: Path, today: Callable[[date], None]
) -> None:
    run = Run(tmp_path / "run")
    began = date.today()
    today(began)
    train(dated(), data_dir, run.path, stop_after_step=2)
    known = json.loads(run.data_file.read_text())
    assert known.pop("day") == began.isoformat()
    run.data_file.write_text(json.dumps(known))
    today(NEXT)
    assert train(dated(), data_dir, run.path).state == "finished"
    assert locate_model(run.path).day == began
