"""Run folders for the tests of pages: one that was really trained, with a real evaluation and export beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lexitrain import load_recipe, train
from tests.paths import ROOT
from tests.small_runs import write_data

#: Of `lexitrain demo`: its export, its evaluation, and some of the answers.
SAVED = ROOT / "tests" / "fixtures" / "report"


@pytest.fixture(scope="session")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 16 steps; not to be written to."""
    home = tmp_path_factory.mktemp("trained")
    data = write_data(home / "data")
    train(small_recipe(tiny_base), data, home / "run")
    return home / "run"


def small_recipe(tiny_base: Path, *overrides: str):
    """16 steps, a validation every four."""
    return load_recipe(
        "demo",
        [
            f"model.base={tiny_base}",
            *("lora.rank=4", "data.workers=0", "step.effective_batch=5", "schedule.epochs=2"),
            *("checkpoints.every=4", "log_every=2", *overrides),
        ],
    )


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, evaluated and exported."""
    copy = shutil.copytree(trained, tmp_path / "first")
    (copy / "evaluation").mkdir()
    (copy / "export").mkdir()
    for name in ("test-1000.json", "test-1000.answers.jsonl"):
        shutil.copy(SAVED / name, copy / "evaluation" / name)
    shutil.copy(SAVED / "export.json", copy / "export" / "export.json")
    return copy


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the object in a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def hostile(value: Any, instead: Iterator[Any]) -> Any:
    """The same keys with the next of `instead` in the place of each leaf."""
    if isinstance(value, dict):
        return {key: hostile(each, instead) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each, instead) for each in value]
    return next(instead)
