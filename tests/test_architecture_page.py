"""docs/architecture.md and docs/api.md say what is there: each file, each name, each docstring."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from lexitrain import generate_file
from tests.paths import ROOT
from tests.test_architecture import ROOMS

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "lexitrain"

#: | what | `file` | `function` | of the tables of the way of a sample
WAY = re.findall(r"^\| [^|`]+ \| `([\w/]+\.py)` \| `([\w.]+)` \|$", PAGE, re.MULTILINE)


def names_in(file: str) -> set[str]:
    """Functions, classes and constants of a module, and `Class.method`."""
    found: set[str] = set()
    for node in ast.parse((SOURCE / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            }
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {each.id for each in targets if isinstance(each, ast.Name)}
    return found


@pytest.mark.parametrize(("file", "name"), WAY, ids=str)
def test_each_step_of_the_way_is_where_the_page_says(file: str, name: str) -> None:
    assert name in names_in(file)


def test_the_way_is_as_long_as_the_page() -> None:
    assert len(WAY) > 25


def test_each_file_and_folder_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.(?:py|pyi|md|yaml|jsonl)|/))`", PAGE))
    assert len(named) > 30
    for path in named:
        places = [ROOT / path, SOURCE / path, ROOT / "docs" / path]
        assert any(each.exists() for each in places) or path in {"train.jsonl"}, path
    for path in re.findall(r"(?<![\w/`])((?:training|runs)/[\w/]+\.py)", PAGE):
        assert (SOURCE / path).is_file(), path


def test_each_name_beside_a_file_is_in_it() -> None:
    """`name` in `file`, `file`: `name`."""
    pairs = re.findall(r"`(\w+)` in `([\w/]+\.py)`", PAGE)
    pairs += [
        (name, file)
        for names, file in re.findall(r"((?:`\w+`(?: and |, ))+`\w+`) in `([\w/]+\.py)`", PAGE)
        for name in re.findall(r"`(\w+)`", names)
    ]
    pairs += [
        (name, file)
        for name, file in re.findall(r"`(\w+)` \(`((?:training|runs)/[\w/]+\.py)`\)", PAGE)
    ]
    assert len(pairs) > 12
    for name, file in pairs:
        home = SOURCE / file if (SOURCE / file).is_file() else ROOT / file
        if home.suffix == ".py":
            tree = ast.parse(home.read_text(encoding="utf-8"))
            there = {
                node.name
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
            }
            there |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            assert name in there, f"{name} is not in {file}"


def test_the_picture_has_every_room_in_order() -> None:
    picture = PAGE.partition("```text\n")[2].partition("```")[0]
    assert tuple(re.findall(r"^(\w+)", picture, re.MULTILINE)) == ROOMS


def test_the_page_of_the_library_is_what_the_docstrings_say() -> None:
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == make_api.page(), "run: python docs/make_api.py"


@pytest.mark.slow
def test_the_example_of_the_library_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    generate_file("records.jsonl", count=600, seed=3)
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    exec(compile(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], "api.md", "exec"), {})
    hours, score, answer = capsys.readouterr().out.splitlines()
    assert float(hours) > 0
    assert 0 <= float(score) <= 1
    assert answer
