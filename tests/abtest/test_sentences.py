"""What reports and pages say, in both languages."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest

from lexitrain.abtest.observations import Observations, PlannedTest
from lexitrain.abtest.pages.languages import LANGUAGES
from lexitrain.abtest.report import report_ab
from lexitrain.abtest.sentences import SENTENCES, Sentence, said_in, sentence
from tests.abtest.worlds import collected, exposures
from tests.paths import ROOT

ROOM = ROOT / "src" / "lexitrain" / "abtest"
FILES = ROOM / "pages" / "files"
LAYOUT_ONLY = {"two", "of_arm", "shown"}
"""Alike in all languages: what they put together is not."""


def fields(text: str) -> list[str]:
    return sorted(f"{name}:{form}" for _, name, form, _ in Formatter().parse(text) if name)


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_is_there_in_both_languages(name: str) -> None:
    english, vietnamese = SENTENCES[name]
    assert english
    assert vietnamese
    assert fields(english) == fields(vietnamese)
    assert (english == vietnamese) == (name in LAYOUT_ONLY)


def test_every_sentence_is_said_somewhere() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in ROOM.rglob("*.py")
        if path.name != "sentences.py"
    )
    said = {name for name in SENTENCES if f'"{name}"' in source}
    assert SENTENCES.keys() - said == {"unit_stars", "unit_s"}  # named by the metric's unit


def reports() -> Iterator[tuple[str, Observations, dict[str, Any]]]:
    """Tests that say different things."""
    planned = PlannedTest("helpful", 0.05, 2000, 4000, 1.0, "sequential", 0.05, 0.8)
    fixed = PlannedTest("helpful", 0.05, 2000, 4000, 1.0, "fixed", 0.05, 0.8)
    yield "few", collected(exposures(3)), {}
    yield "better", collected(exposures(700, effect=0.2)), {}
    yield "worse", collected(exposures(700, effect=-0.3)), {}
    yield "no worse", collected(exposures(900)), {"margin": 0.3}
    yield "not enough", collected(exposures(150)), {}
    yield "planned", collected(exposures(150)), {"planned": planned}
    yield "fixed", collected(exposures(150)), {"planned": fixed}
    yield "harm", collected(exposures(700, errors=(0, 0.1))), {}


@pytest.mark.parametrize(
    ("seen", "more"), [each[1:] for each in reports()], ids=[each[0] for each in reports()]
)
def test_all_that_a_report_says_is_said_in_vietnamese(
    seen: Observations, more: dict[str, Any]
) -> None:
    report = report_ab(seen, **more)
    texts = [report.verdict.headline, *report.verdict.reasons, *report.cautions]
    for text in texts:
        assert isinstance(text, Sentence)
        assert text.said("en") == str(text)
        there = text.said("vi")
        assert there != text
        assert not re.search(r"\b(the|of|learners|points|arm|than|more|is|no)\b", there), there
    assert json.loads(json.dumps(report.to_json()))["verdict"]["headline"] == texts[0]


def test_a_sentence_is_a_text_that_can_be_copied() -> None:
    found = sentence("better", first="old", other="new")
    for each in (found, copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert each == "new is better than old."
        assert said_in(each, "vi") == "new tốt hơn old."
    assert said_in("old", "vi") == "old"


def flat(value: Any, place: str = "") -> dict[str, str]:
    """Each text of a file by the names that lead to it."""
    if isinstance(value, dict):
        return {
            k: v for name, each in value.items() for k, v in flat(each, f"{place}.{name}").items()
        }
    return {place: value}


@pytest.fixture(scope="module")
def pages() -> dict[str, dict[str, str]]:
    return {
        language: flat(json.loads((FILES / f"{language}.json").read_text(encoding="utf-8")))
        for language in LANGUAGES
    }


def test_the_pages_say_the_same_in_all_languages(pages: dict[str, dict[str, str]]) -> None:
    english = pages["en"]
    for language, texts in pages.items():
        assert texts.keys() == english.keys(), language
        for name, text in texts.items():
            assert text, name
            assert fields(text) == fields(english[name]), name


def test_what_the_teams_page_says_is_there(pages: dict[str, dict[str, str]]) -> None:
    script = (FILES / "team.js").read_text(encoding="utf-8")
    names = set(re.findall(r"\bwords\.(\w+)", script))
    known = {name.split(".")[3] for name in pages["en"] if name.startswith(".scripted.team.")}
    assert names
    assert names - known == set()


def test_all_sentences_of_a_source_are_known() -> None:
    for path in ROOM.rglob("*.py"):
        for name in re.findall(r'\bsentence\(\s*"(\w+)"', path.read_text(encoding="utf-8")):
            assert name in SENTENCES, (path, name)
