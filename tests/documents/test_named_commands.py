"""Commands, options and settings that a page names in passing are there: a reader types what stands there.

`tests/test_documents.py` runs the blocks; this looks at inline code and at the blocks that are not run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lexitrain.cli.main import app
from lexitrain.recipe import recipe_fields
from tests.paths import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted(each for each in (ROOT / "docs").glob("*.md") if each.name != "api.md"),
]

_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_BLOCK = re.compile(r"^```(?:bash|text|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:\w+=\S+ )*(?:python -m )?lexitrain ([a-z].*)$")
_SETTING = re.compile(
    r"^(?P<name>(?:model|lora|data|step|optimizer|schedule|checkpoints|validation|evaluation)\.[a-z]\w*)(?:[=:].*)?$"
)

COMMANDS = get_command(app)
FIELDS = {name for name, _ in recipe_fields()}


def named_commands(text: str) -> Iterator[str]:
    """What follows `lexitrain` in inline code and in blocks."""
    lines = [
        " ".join(each.split())
        for each in _INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    ]
    for block in _BLOCK.findall(text):
        lines.extend(block.replace("\\\n", " ").splitlines())
    for line in lines:
        if found := _COMMAND.search(line.removeprefix("$ ").split("  #")[0].split(" # exit")[0]):
            yield found[1]


def problem(command: str) -> str:
    """What a reader who types it would be told is unknown; empty when nothing is."""
    words = shlex.split(command)
    found: Any = COMMANDS
    path: list[str] = []
    while hasattr(found, "list_commands") and words and words[0] in found.list_commands(None):
        path.append(words.pop(0))
        found = found.get_command(None, path[-1])
    if not path:
        return f"no command {words[0]}" if words and not words[0].startswith("-") else ""
    by_name = {name: each for each in found.params for name in each.opts if name.startswith("-")}
    given = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
    wrong = [each for each in given if each not in by_name and each != "--help"]
    if wrong:
        return f"{' '.join(path)} has no {', '.join(wrong)}"
    return (
        f"{' '.join(path)} wants {lacking}"
        if words and "…" not in words and (lacking := _lacking(found, by_name, words))
        else ""
    )


def _lacking(command: Any, by_name: dict[str, Any], words: list[str]) -> str:
    """What the command cannot do without and is not among the words."""
    positional, given, rest = 0, set[str](), iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            positional += 1
            continue
        name, has_value, _ = word.partition("=")
        given.update(by_name[name].opts if name in by_name else ())
        if name in by_name and not has_value and not by_name[name].is_flag:
            next(rest, None)
    required = [each for each in getattr(command, "params", ()) if each.required]
    arguments = [each for each in required if not each.opts[0].startswith("-")]
    options = [
        each.opts[0]
        for each in required
        if each.opts[0].startswith("-") and not given & set(each.opts)
    ]
    if len(arguments) > positional:
        options.append(str(arguments[positional].metavar or arguments[positional].name))
    return ", ".join(options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_and_options_that_are_there(page: Path) -> None:
    found = [
        f"{each}: {wrong}"
        for each in named_commands(page.read_text(encoding="utf-8"))
        if (wrong := problem(each))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_settings_that_are_there(page: Path) -> None:
    code = [" ".join(each.split()) for each in _INLINE.findall(page.read_text(encoding="utf-8"))]
    names = {
        found["name"] for each in code for part in each.split() if (found := _SETTING.match(part))
    }
    names = {each for each in names if not re.search(r"\.(?:py|json|jsonl|yaml|md)$", each)}
    assert names <= FIELDS, sorted(names - FIELDS)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("train --run RUN --mirror DIR", ""),
        ("trian --run RUN", "no command trian"),
        ("train --mirorr DIR", "train has no --mirorr"),
        ("data lengths data --recipe demo", ""),
        ("data lengths data --recipes demo", "data lengths has no --recipes"),
        ("runs prune RUN --keep 1", ""),
        ("--version", ""),
        ("tune", ""),
        ("tune --seeds 3", "tune wants --data, --out"),
        ("export --to gguf", "export wants RUN|MODEL"),
        ("export RUN --to gguf", ""),
    ],
)
def test_what_is_not_there_is_told(command: str, wrong: str) -> None:
    assert problem(command) == wrong


def test_pages_name_enough_to_look_at() -> None:
    found = [each for page in PAGES for each in named_commands(page.read_text(encoding="utf-8"))]
    assert len(found) > 150
