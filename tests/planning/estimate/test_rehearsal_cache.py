"""What is kept of rehearsals and samples: whatever a file holds, a plan is made, and the file made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate import rehearsal_cache
from lexitrain.planning.estimate.planned_data import own_data
from lexitrain.planning.estimate.rehearsal_cache import kept_rehearsal
from lexitrain.planning.planner import Planner
from lexitrain.recipe.yaml_file import load_recipe

DAMAGED = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"{",
    b"[" * 5000,
    b"\xff\xfe\x00",
    b'{"content": 1}',
]
LINE = '{"task": "grammar", "input": "He go.", "output": {"corrected": "He goes.", "errors": []}}\n'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def cached_files() -> list[Path]:
    return sorted(rehearsal_cache.cache_folder("rehearsals").glob("*.json"))


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_made_anew(content: bytes):
    made: list[int] = []

    def make() -> dict[str, list[tuple[int, float]]]:
        made.append(1)
        return {"lines": [(1, 2.5)]}

    first = kept_rehearsal("key", make, lambda found: found["lines"])
    (path,) = cached_files()
    whole = path.read_bytes()
    path.write_bytes(content)
    assert kept_rehearsal("key", make, lambda found: found["lines"]) == first == [[1, 2.5]]
    assert path.read_bytes() == whole
    assert kept_rehearsal("key", make, lambda found: found["lines"]) == first
    assert len(made) == 2


def test_a_number_that_changed_on_the_disk_is_not_believed():
    kept_rehearsal("key", lambda: {"peak": 1234}, lambda found: found["peak"])
    (path,) = cached_files()
    path.write_text(path.read_text().replace("1234", "1235"))
    assert kept_rehearsal("key", lambda: {"peak": 1234}, lambda found: found["peak"]) == 1234


def test_a_plan_survives_any_damage_to_its_caches(tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    file.write_text(LINE * 30, encoding="utf-8")
    recipe = load_recipe("demo")

    def planned() -> object:
        return Planner(find_gpu("L4"), data=file, calibrated=False).plan(recipe).to_json()

    before = planned()
    samples = sorted(rehearsal_cache.cache_folder("samples").glob("*.safetensors"))
    assert samples
    for content in (b"{}", b"null", b"", b"\x00" * 64):
        for path in (*cached_files(), *samples):
            path.write_bytes(content)
        assert planned() == before
        for path in cached_files():
            assert json.loads(path.read_bytes())["content"]


def test_a_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.jsonl").write_text(LINE * 30, encoding="utf-8")
    plan = Planner(find_gpu("L4"), data=Path("~/mine.jsonl"), calibrated=False)
    assert plan.plan(load_recipe("demo")).data.source.startswith(str(tmp_path))


def test_warnings_are_kept_with_the_samples(tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    file.write_text(LINE.replace("He goes.", "学 goes.") * 30, encoding="utf-8")

    def load(recipe: object) -> object:
        from lexitrain.models import load_tokenizer

        return load_tokenizer("nano", None)

    recipe = load_recipe("demo")
    first = own_data(file, load)(recipe)
    again = own_data(file, load)(recipe)
    assert first.warnings == again.warnings
    assert "学" in first.warnings[0]
