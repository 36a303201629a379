"""The pretraining text holds back what fine-tuning is to teach, and can be made again."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from types import ModuleType

import pytest
from tests.paths import ROOT

from lexitrain.synthetic import wording
from lexitrain.tasks import registry
from lexitrain.tasks.task import SYSTEM_PROMPT


@pytest.fixture(scope="module")
def corpus() -> Iterator[ModuleType]:
    """`nano/corpus.py`, imported as its scripts do: from their own folder."""
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "nano"))
    yield importlib.import_module("corpus")
    sys.path.remove(str(ROOT / "nano"))
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(ROOT / "nano")):
            del sys.modules[name]


def written(corpus: ModuleType, seed: int, count: int, stage: int = 1) -> list[str]:
    texts: list[str] = []
    for document in islice(corpus.documents(seed, stage), count):
        texts += [document.text, document.system]
        for exchange in document.exchanges:
            texts += [exchange.user, exchange.assistant]
    return texts


@pytest.mark.parametrize("stage", [1, 2, 3, 4, 5])
def test_no_tutor_task_is_shown(corpus: ModuleType, stage: int) -> None:
    text = "\n".join(written(corpus, 5, 4_000, stage))
    held_back = {task.name for task in registry().values()} - {"explanation"}
    held_back |= {SYSTEM_PROMPT, "LexiLingo", "Task:", "fluency_score", "key_words"}
    held_back |= {"pedagogical_goal", "Student:", "Tutor:", "Error:", "→"}
    held_back |= {f"{name}: " for name, _ in wording.VIETNAMESE.values()}
    assert [words for words in sorted(held_back) if words in text] == []


@pytest.mark.parametrize("stage", [1, 2, 3, 4, 5])
def test_no_object_has_the_keys_of_an_answer(corpus: ModuleType, stage: int) -> None:
    schemas = [set(task.schema["properties"]) for task in registry().values()]
    objects = 0
    for text in written(corpus, 6, 4_000, stage):
        if text.startswith("{"):
            objects += 1
            assert set(json.loads(text)) not in schemas
    assert objects > 200


def test_same_seed_same_text(corpus: ModuleType) -> None:
    assert written(corpus, 3, 200) == written(corpus, 3, 200)
    assert written(corpus, 3, 200) != written(corpus, 4, 200)
