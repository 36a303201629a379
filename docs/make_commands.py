"""Writes docs/commands.md from the commands themselves: `python docs/make_commands.py`.

A test holds the page to what this writes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from lexitrain.cli.main import app

PAGE = Path(__file__).parent / "commands.md"

INTRODUCTION = """# Commands

Every command with its arguments, its options and their defaults. `lexitrain COMMAND --help` says the same.

- What stands in square brackets may be left out.
- `R` is a [recipe](recipes.md): a shipped name or a YAML file. `--set FIELD=VALUE` changes a field of it.
- Output is for people; `--json` gives one JSON document on standard output and nothing else.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | something unexpected; the message names a file with the traceback |
| 2 | wrong usage or bad input; an answer of `predict`, a check of `doctor` or a checkpoint is not valid |
| 3 | it does not fit the limits that were given, or an exported file misses what was asked of it |
| 4 | stopped, and the same command goes on |
| 130 | interrupted by a signal, where there is nothing to go on with |

[Training](training.md) says what stops a run, and [export](export.md) what a file must keep.
"""

EPILOGUE = """This page is written from the commands by `python docs/make_commands.py`.
"""


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Each command that does something: its words, itself, and its context, in the order of `--help`."""
    root: Any = get_command(app)
    context = root.make_context("lexitrain", [], resilient_parsing=True)
    yield from _below(root, context, "lexitrain")


def _below(group: Any, context: Any, words: str) -> Iterator[tuple[str, Any, Any]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        if not hasattr(command, "list_commands") or command.invoke_without_command:
            yield f"{words} {name}", command, inner
        if hasattr(command, "list_commands"):
            yield from _below(command, inner, f"{words} {name}")


def page() -> str:
    """The page's text."""
    parts = [INTRODUCTION]
    parts += [_command(words, command, context) for words, command, context in commands()]
    return "\n".join([*parts, EPILOGUE]).rstrip() + "\n"


def _command(words: str, command: Any, context: Any) -> str:
    parameters = [each for each in command.params if each.name not in {"help", "version"}]
    head = f"## {words}\n\n```text\n{_usage(words, parameters)}\n```\n\n{_text(command.help)}\n"
    if not parameters:
        return head
    rows = [_row(each, context) for each in parameters]
    return "\n".join([head, "| argument or option | what it is |", "|---|---|", *rows, ""])


def _usage(words: str, parameters: Sequence[Any]) -> str:
    """The command with what it cannot do without; the rest in brackets."""
    parts = [words]
    for each in parameters:
        name = _name(each)
        if each.required or each.param_type_name == "argument":
            parts.append(name if each.required else f"[{name}]")
    free = any(not each.required for each in parameters if each.param_type_name == "option")
    return " ".join([*parts, "[OPTION…]"] if free else parts)


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return ", ".join(parameter.opts) + value


def _row(parameter: Any, context: Any) -> str:
    said = parameter.get_help_record(context)[1]
    many = (
        parameter.param_type_name == "option" and parameter.multiple and "several times" not in said
    )
    again = " [may be given several times]" if many else ""
    return f"| `{_cell(_name(parameter))}` | {_cell(said + again)} |"


def _cell(text: str) -> str:
    """Text in a cell of a table: one line, the bounds and defaults in italics, nothing that would be markup."""
    line = " ".join(text.split())
    line = re.sub(r"(?:^| )\[((?:default|required|may|x|[\d.]+)[^\[\]]*)\]", _remark, line)
    return line.strip().replace("|", "\\|")


def _remark(found: re.Match[str]) -> str:
    said = re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", found[1])
    return f" (*{said.replace('x>=', 'at least ').replace('x<=', 'at most ')}*)"


def _text(text: str | None) -> str:
    paragraphs = re.split(r"\n\s*\n", (text or "").replace("\f", "").strip())
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
