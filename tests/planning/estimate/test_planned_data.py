"""Own records in a plan: rendered, kept, or estimated where the tokenizer cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import InputError
from lexitrain.models import load_tokenizer
from lexitrain.planning.estimate.planned_data import own_data
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.synthetic import generate

NANO = load_recipe("demo")
HUB = load_recipe("fast")


def loader(recipe: Recipe) -> Any:
    if recipe.model.base != "nano":
        raise InputError("no network")
    return load_tokenizer("nano")


def forbidden(recipe: Recipe) -> Any:
    raise AssertionError("the samples were kept")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    lines = [record.to_json() + "\n" for record in generate(60, 1)]
    (path / "train.jsonl").write_text("".join(lines[:50]), encoding="utf-8")
    (path / "validation.jsonl").write_text("".join(lines[50:]), encoding="utf-8")
    return path


def test_records_are_rendered_once(folder: Path):
    first = own_data(folder, loader)(NANO)
    assert (len(first.train), len(first.validation), first.exact) == (50, 10, True)
    again = own_data(folder, forbidden)(NANO)
    for one, other in zip(first.train, again.train, strict=True):
        assert one.prompt_ids.tolist() == other.prompt_ids.tolist()
        assert one.completion_ids.tolist() == other.completion_ids.tolist()
        assert (one.task, one.supervised.tolist()) == (other.task, other.supervised.tolist())


def test_without_the_tokenizer_lengths_are_estimated_and_it_is_said(folder: Path):
    exact, estimated = own_data(folder, loader)(NANO), own_data(folder, loader)(HUB)
    assert not estimated.exact
    assert "estimated" in estimated.source
    tokens = [sum(map(len, found.train)) for found in (exact, estimated)]
    assert tokens[1] == pytest.approx(tokens[0] / 1.385, rel=0.1)


def test_a_file_in_any_form_is_all_for_training(folder: Path, tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    file.write_bytes((folder / "train.jsonl").read_bytes())
    found = own_data(file, loader)(NANO)
    assert (len(found.train), len(found.validation)) == (50, 0)


def test_what_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"no train\.jsonl"):
        own_data(tmp_path, loader)
    with pytest.raises(InputError, match="no such file"):
        own_data(tmp_path / "x.jsonl", loader)


def test_a_cache_that_is_damaged_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = own_data(folder, loader)(NANO)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    again = own_data(folder, loader)(NANO)
    assert (len(again.train), again.key) == (len(first.train), first.key)
    assert len(own_data(folder, forbidden)(NANO).train) == len(first.train)


def test_a_cache_that_cannot_be_written_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "lexitrain").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len(own_data(folder, loader)(NANO).train) == 50


def test_estimated_lengths_stay_marked_when_they_come_from_the_cache(folder: Path):
    first, again = own_data(folder, loader)(HUB), own_data(folder, forbidden)(HUB)
    assert (again.exact, again.source) == (first.exact, first.source) == (False, first.source)
