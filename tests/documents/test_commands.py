"""Every command that a document shows is one that this version understands, and every recipe field exists.

A command in a block is parsed as the command line parses it, arguments, options and values. One in running text may
hold placeholders (`DIR`, `N`, `…`); it is whole unless it is a command's name alone, has a `…`, or is written without
`lexitrain` in front. Settings (`--set lora.rank=8`) and fields in running text (`checkpoints.every`) are held against
the recipe's schema. Those of the blocks that are run: test_commands_run.py.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
from benchmarks.against.settings import Settings
from typer.exceptions import TyperException
from typer.main import get_command

from lexitrain import load_recipe, recipe_fields
from lexitrain.cli.main import COMMANDS, app
from lexitrain.errors import RecipeError
from tests.documents.markdown import Document, documents
from tests.paths import ROOT

DOCUMENTS = list(documents())
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)

SHELL = {"console", "bash", "sh", "shell", "text", ""}
FIELDS = {name for name, _ in recipe_fields()}
SECTIONS = {name.split(".")[0] for name in FIELDS if "." in name}
FILES = {"json", "jsonl", "yaml", "md", "py", "html", "txt", "gguf", "pyi", "toml"}
FIELD = re.compile(r"^([a-z]+)\.([a-z_]+(?:\.[a-z_]+)*)(?:(?:=|: )(.+))?$")
#: Options of pip and torchrun that the documents name without them, and those of the benchmarks and of nano's makers.
FOREIGN = {
    *("--constraint", "--nproc-per-node", "--no-deps", "--quiet"),
    *(
        option
        for folder in ("benchmarks", "nano")
        for path in (ROOT / folder).rglob("*.py")
        for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', path.read_text("utf-8"))
    ),
    # `benchmarks.against` makes an option of each of its settings.
    *(f"--{each.name.replace('_', '-')}" for each in fields(Settings)),
}
#: What the changelog says that is told now.
MISTAKES = {"lexitrain runs compare", "--set lora.r=8"}
MEANT_TO_FAIL = re.compile(r"# exit 2$")


class NotUnderstood(Exception):
    """A reader who types this would be told so."""


def commands_in_blocks(document: Document) -> list[str]:
    """Lines of blocks that begin with `lexitrain`, without what a shell makes of the rest of them."""
    found: list[str] = []
    for block in document.blocks:
        if block.language not in SHELL:
            continue
        for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
            if MEANT_TO_FAIL.search(line):
                continue  # test_commands_run.py runs it
            words = re.sub(r"^(?:\$ )?(?:\w+=\S+ )*(?:\.venv/bin/)?", "", line.strip())
            words = re.sub(r"^.*?-m lexitrain (?:-- )?", "lexitrain ", words)
            if words.startswith("lexitrain "):
                found.append(words)
    return found


def commands_in_running_text(document: Document) -> tuple[list[str], list[str]]:
    """Those with `lexitrain` in front, and those without it: `plan --json`."""
    whole: list[str] = []
    short: list[str] = []
    for inline in document.inline_code:
        code = re.sub(r"^(?:\$ )?(?:(?:\w+=\S+ )*(?:python -m )?(?=lexitrain ))?", "", inline)
        if code in MISTAKES:
            continue
        if code == "lexitrain" or code.startswith("lexitrain "):
            whole.append(code)
        elif code.split(" ")[0] in COMMANDS and " --" in code:
            short.append(f"lexitrain {code}")
    return whole, short


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
            if command.name != "runs":
                raise NotUnderstood(f"there is no command {rest[0]}")
            if not re.search(r"/|^\[?[A-Z]+\]?$", rest[0]):
                raise NotUnderstood(f"{rest[0]} is no folder")
            inner = command.get_command(context, "list")  # `runs DIR` is `runs list DIR`
            rest = [rest[0], *rest]
        context = inner.make_context(rest[0], [], parent=context, resilient_parsing=True)
        command, rest = inner, rest[1:]
    return command, context, rest


def options_of(command: Any) -> dict[str, Any]:
    """Option -> its parameter; None for `--help`, which every command has."""
    known = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    # The options of `runs` are those of `runs list`.
    if hasattr(command, "list_commands") and command.name == "runs":
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
        if name not in known:
            raise NotUnderstood(f"{command.name} has no {name}")
        if name == "--set":
            settings.append(value or (rest[at + 1] if at + 1 < len(rest) else "FIELD=VALUE"))
    require_settings(settings)


def require_settings(settings: list[str]) -> None:
    """Each `field=value` is one of a recipe, and together they make one; a placeholder is one for any."""
    real = [each for each in settings if not (each.startswith("FIELD") or "…" in each)]
    for each in real:
        if not is_field(each.partition("=")[0]):
            raise NotUnderstood(f"--set {each}: there is no such field")
    whole = [each for each in real if not re.search(r"=$|=[A-Z]+$", each) and "=" in each]
    try:
        load_recipe("fast", whole)
    except RecipeError as error:
        raise NotUnderstood(str(error)) from error


def is_field(dotted: str) -> bool:
    """Whether it is a field, or an entry of one that holds entries, such as `evaluation.targets`."""
    return dotted in FIELDS or any(dotted.startswith(f"{field}.") for field in FIELDS)


def require_enough(words: list[str]) -> None:
    """The command has all that it cannot do without; a name alone, or one with a `…`, is meant as any."""
    command, _, rest = found_command(words)
    if not rest or "…" in rest or "--help" in rest:
        return
    known, positional, given = options_of(command), 0, set[str]()
    waiting = iter(rest)
    for word in waiting:
        name, has_value, _ = word.partition("=")
        option = known.get(name)
        if option is not None:
            given.update(option.opts)
            if not has_value and not option.is_flag:
                next(waiting, None)
        elif word == "-" or not word.startswith("-"):
            positional += 1
    required = [each for each in command.params if each.required]
    arguments = [each for each in required if each.param_type_name == "argument"]
    lacking = [
        each.opts[0]
        for each in required
        if each.param_type_name == "option" and not given & set(each.opts)
    ]
    lacking += [str(each.metavar or each.name) for each in arguments[positional:]]
    if lacking:
        raise NotUnderstood(f"{command.name} wants {', '.join(lacking)}")


def parse(words: list[str]) -> None:
    """Parse a whole command line as `lexitrain` does; nothing of it is executed."""
    command, context, rest = found_command(words)
    if hasattr(command, "list_commands") or "--help" in rest:
        return
    try:
        command.make_context(command.name, list(rest), parent=context.parent)
    except TyperException as error:
        raise NotUnderstood(str(error)) from error


def understand(line: str) -> None:
    """All checks of a command that is shown whole."""
    words = words_of(line)
    require_options(words)
    require_enough(words)
    if not has_placeholder(words):
        parse(words)


def has_placeholder(words: list[str]) -> bool:
    """Whether a word stands for something that the reader has to put there."""
    return any(re.search(r"…|^\[|\]$|^[A-Z|]{1,}$|\bN\b", word) for word in words)


def require_understood(lines: list[str]) -> None:
    """Fails with all that is not understood, a line each."""
    wrong: list[str] = []
    for line in lines:
        try:
            understand(line)
        except NotUnderstood as error:
            wrong.append(f"{line}: {error}")
    assert not wrong, "\n".join(wrong)


@each_document
def test_commands_in_blocks_are_understood(document: Document) -> None:
    require_understood(commands_in_blocks(document))


@each_document
def test_commands_in_running_text_are_there(document: Document) -> None:
    whole, short = commands_in_running_text(document)
    for line in short:
        require_options(words_of(line))
    for line in whole:
        require_options(words_of(line))
        require_enough(words_of(line))


def test_documents_name_enough_to_look_at() -> None:
    blocks = sum(len(commands_in_blocks(each)) for each in DOCUMENTS)
    whole, short = (
        sum(len(commands_in_running_text(each)[kind]) for each in DOCUMENTS) for kind in (0, 1)
    )
    assert blocks > 150
    assert whole > 50
    assert short > 20


@each_document
def test_options_in_running_text_belong_to_a_command(document: Document) -> None:
    for code in document.inline_code:
        if (option := re.match(r"^(--[a-z][a-z-]*)(?:[ =].*)?$", code)) is None:
            continue
        assert option[1] in known_options() | FOREIGN, f"no command has {option[1]}"


@cache
def known_options() -> set[str]:
    """Those of all commands."""
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
    ("wrong", "told"),
    [
        ("trian --run runs/first", "no command trian"),
        ("runs compare", "compare is no folder"),
        ("plan --gpus T4", "plan has no --gpus"),
        ("train --mirorr DIR", "train has no --mirorr"),
        ("data lengths data --recipes demo", "lengths has no --recipes"),
        ("train --set lora.rnak=8", "--set lora.rnak=8: there is no such field"),
        ("train --set lora.rank=many", "lora.rank"),
        ("data generate --count many --out x.jsonl", "valid integer"),
        ("data prepare records.jsonl", "prepare wants --out"),
        ("evaluate runs/first extra --data data", "extra"),
        ("tune --seeds 3", "tune wants --data, --out"),
        ("tune --seeds N", "tune wants --data, --out"),
        ("export --to gguf", "export wants RUN"),
    ],
)
def test_what_is_wrong_is_told(wrong: str, told: str) -> None:
    with pytest.raises(NotUnderstood, match=re.escape(told)):
        understand(f"lexitrain {wrong}")


def test_what_is_right_is_not_found_wrong() -> None:
    for right in (
        "lexitrain runs",
        "lexitrain runs prune runs/first --keep 2",
        "lexitrain runs prune RUN --keep 1",
        "lexitrain plan --recipe fast --gpu T4 --within 4h --memory 15",
        'lexitrain predict runs/first "She go." --task grammar # exit 0 or 2',
        "lexitrain train --set step.layout=padded --set lora.rank=8 > log.txt",
        "lexitrain train --run RUN --mirror DIR",
        "lexitrain data lengths data --recipe demo",
        "lexitrain export RUN --to gguf",
        "lexitrain tune …",
        "lexitrain --version",
    ):
        understand(right)
