"""Every command that a document shows is one that this version understands, and every recipe field exists.

A command in a block is parsed as the command line parses it, arguments, options and values. One in running text may
leave arguments out, and holds placeholders (`DIR`, `N`, `…`). Settings (`--set lora.rank=8`) and fields in running text
(`checkpoints.every`) are held against the recipe's schema.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
from benchmarks.against.settings import Settings
from typer.main import get_command

from lexitrain import load_recipe, recipe_fields
from lexitrain.cli.main import COMMANDS, app
from tests.document_text import Document, documents
from tests.paths import ROOT

DOCUMENTS = list(documents())
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)

SHELL = {"console", "bash", "sh", "shell", "text", ""}
#: Commands that other documents may speak of before they are there.
FIELDS = {name for name, _ in recipe_fields()}
SECTIONS = {name.split(".")[0] for name in FIELDS if "." in name}
FILES = {"json", "jsonl", "yaml", "md", "py", "html", "txt", "gguf", "pyi", "toml"}
FIELD = re.compile(r"^([a-z]+)\.([a-z_]+(?:\.[a-z_]+)*)(?:(?:=|: )(.+))?$")
#: Options of pip and torchrun that the documents name without them, and those of the benchmarks and of nano's makers.
FOREIGN = {"--constraint", "--nproc-per-node", "--no-deps", "--quiet"} | {
    option
    for folder in ("benchmarks", "nano")
    for path in (ROOT / folder).rglob("*.py")
    for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', path.read_text(encoding="utf-8"))
}
# `benchmarks.against` has an option for each of its settings.
FOREIGN |= {f"--{each.name.replace('_', '-')}" for each in fields(Settings)}
#: What the changelog says that is told now.
MISTAKES = {"lexitrain runs compare", "--set lora.r=8"}
MEANT_TO_FAIL = re.compile(r"# exit 2$")


def command_lines(document: Document) -> list[str]:
    """Lines of blocks that begin with `lexitrain`, without what a shell makes of the rest of them."""
    found: list[str] = []
    for block in document.blocks:
        if block.language not in SHELL:
            continue
        for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
            if MEANT_TO_FAIL.search(line):
                continue  # tests/test_documents.py runs it
            words = re.sub(r"^(?:\$ )?(?:\w+=\S+ )*(?:\.venv/bin/)?", "", line.strip())
            words = re.sub(r"^.*?-m lexitrain (?:-- )?", "lexitrain ", words)
            if words.startswith("lexitrain "):
                found.append(words)
    return found


def mentioned(document: Document) -> list[str]:
    """Commands in running text: `lexitrain plan --json`, and `plan --json` alone."""
    found: list[str] = []
    for code in (each.removeprefix("$ ") for each in document.inline_code):
        if code == "lexitrain" or code.startswith("lexitrain "):
            found.append(code)
        elif code.split(" ")[0] in COMMANDS and " --" in code:
            found.append(f"lexitrain {code}")
    return found


def words_of(line: str) -> list[str]:
    """The words of a command, up to a comment, a pipe, or what it is redirected to."""
    try:
        words = shlex.split(re.sub(r"\s#.*$", "", line))
    except ValueError:
        words = line.split()
    ends = [at for at, word in enumerate(words) if re.match(r"^(\||&&?|;|\d?>|<)", word)]
    return words[: ends[0]] if ends else words


@cache
def _root() -> tuple[Any, Any]:
    root: Any = get_command(app)
    return root, root.make_context("lexitrain", [], resilient_parsing=True)


def found_command(words: list[str]) -> tuple[Any, Any, list[str]]:
    """The command that the words name, the context around it, and the words behind its name."""
    command, context = _root()
    rest = words[1:]
    while hasattr(command, "list_commands") and rest and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        if inner is None:
            if rest[0].strip("[]").isupper() and command.name != "runs":
                return command, context, ["--help"]  # COMMAND stands for any
            assert command.name == "runs", f"there is no command {' '.join(words)}"
            assert re.search(r"/|^\[?[A-Z]+\]?$", rest[0]), f"`runs {rest[0]}` is no folder"
            inner = command.get_command(context, "list")  # `runs DIR` is `runs list DIR`
            rest = [rest[0], *rest]
        context = inner.make_context(rest[0], [], parent=context, resilient_parsing=True)
        command, rest = inner, rest[1:]
    return command, context, rest


def options_of(command: Any) -> dict[str, Any]:
    known = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    if (
        hasattr(command, "list_commands") and command.name == "runs"
    ):  # its options are those of `runs list`
        known |= options_of(command.get_command(_root()[1], "list"))
    return known | {"--help": None}


def require_options(words: list[str]) -> None:
    """Every option is one of the command's, and every setting a field."""
    command, _, rest = found_command(words)
    known, settings = options_of(command), list[str]()
    rest = [word.strip("[]") if word.startswith("[-") else word for word in rest]
    for at, word in enumerate(rest):
        if not word.startswith("--"):
            continue
        name, _, value = word.partition("=")
        assert name in known, f"{' '.join(words)}: there is no option {name}"
        if name == "--set":
            settings.append(value or (rest[at + 1] if at + 1 < len(rest) else "FIELD=VALUE"))
    require_settings(settings)


def require_settings(settings: list[str]) -> None:
    """Each `field=value` is one of a recipe, and together they make one; a placeholder is one for any."""
    real = [each for each in settings if not (each.startswith("FIELD") or "…" in each)]
    for each in real:
        assert is_field(each.partition("=")[0]), f"--set {each}: there is no such field"
    whole = [each for each in real if not re.search(r"=$|=[A-Z]+$", each) and "=" in each]
    load_recipe("fast", whole)


def is_field(dotted: str) -> bool:
    """Whether it is a field, or an entry of one that holds entries, such as `evaluation.targets`."""
    return dotted in FIELDS or any(dotted.startswith(f"{field}.") for field in FIELDS)


def parse(words: list[str]) -> None:
    """Parse a whole command line as `lexitrain` does; nothing of it is executed."""
    command, context, rest = found_command(words)
    if hasattr(command, "list_commands") or "--help" in rest:
        return
    command.make_context(command.name, list(rest), parent=context.parent)


def understand(line: str) -> None:
    """All checks of a command in a block."""
    words = words_of(line)
    require_options(words)
    if not has_placeholder(words):
        parse(words)


def has_placeholder(words: list[str]) -> bool:
    return any(re.search(r"…|^\[|\]$|^[A-Z|]{1,}$|\bN\b", word) for word in words)


@each_document
def test_commands_in_blocks_are_understood(document: Document) -> None:
    for line in command_lines(document):
        try:
            understand(line)
        except Exception as error:
            pytest.fail(f"{line}\n{error}")


@each_document
def test_commands_in_running_text_are_there(document: Document) -> None:
    for line in mentioned(document):
        if line in MISTAKES:
            continue
        require_options(words_of(line))


@each_document
def test_options_in_running_text_belong_to_a_command(document: Document) -> None:
    for code in document.inline_code:
        if (option := re.match(r"^(--[a-z][a-z-]*)(?:[ =].*)?$", code)) is None:
            continue
        assert option[1] in known_options() | FOREIGN, f"no command has {option[1]}"


@cache
def known_options() -> set[str]:
    root, context = _root()
    found: set[str] = set(options_of(root))
    groups = [(root, context)]
    while groups:
        group, around = groups.pop()
        for name in group.list_commands(around):
            command = group.get_command(around, name)
            found |= set(options_of(command))
            if hasattr(command, "list_commands"):
                groups.append(
                    (command, command.make_context(name, [], parent=around, resilient_parsing=True))
                )
    return found


@each_document
def test_recipe_fields_that_are_named_exist(document: Document) -> None:
    for code in document.inline_code:
        if code in MISTAKES:
            continue
        for part in code.split(" ") if "=" in code else [code]:
            found = FIELD.match(part)
            if found is None or found[1] not in SECTIONS or found[2].split(".")[-1] in FILES:
                continue
            dotted = f"{found[1]}.{found[2]}"
            assert is_field(dotted), f"`{code}`: the recipe has no field {dotted}"


@pytest.mark.parametrize(
    "wrong",
    [
        "lexitrain trian --run runs/first",
        "lexitrain runs compare",
        "lexitrain plan --gpus T4",
        "lexitrain train --set lora.rnak=8",
        "lexitrain train --set lora.rank=many",
        "lexitrain data generate --count many --out x.jsonl",
        "lexitrain data prepare records.jsonl",
        "lexitrain evaluate runs/first extra --data data",
    ],
)
def test_what_is_wrong_is_found(wrong: str) -> None:
    """The checks of this file can fail."""
    with pytest.raises((AssertionError, Exception)):
        understand(wrong)


def test_what_is_right_is_not_found_wrong() -> None:
    for right in (
        "lexitrain runs",
        "lexitrain runs prune runs/first --keep 2",
        "lexitrain plan --recipe fast --gpu T4 --within 4h --memory 15",
        'lexitrain predict runs/first "She go." --task grammar # exit 0 or 2',
        "lexitrain train --set step.layout=padded --set lora.rank=8 > log.txt",
        "lexitrain --version",
    ):
        understand(right)
