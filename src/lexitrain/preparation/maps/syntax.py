"""What a user writes as a map, understood: `input=learner_text,output.fluency_score=band/9,task=fluency`.

On the left stands a field of a record, on the right the column that it is taken from: a name, a path into objects
(`labels.cefr`), numbers with a scale (`band/9`, `percent*0.01`), a quoted constant (`'jfleg'`), or for `task` a task's
name. A comma in a column's name needs no care, unless a field and `=` follow it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lexitrain.errors import InputError, nearest
from lexitrain.preparation.maps.cells import Source
from lexitrain.tasks import Task, unknown_task

RowMap = str | Mapping[str, str]
"""`field=column,…`, or the same as a mapping."""

WHERE = "--map"

_PLAIN = ("task", "input", "output", "metadata")
_CONVERSATION = ("messages", "conversations", "instruction", "prompt", "completion")
_FIELD = rf"(?:(?:output|metadata)\.[^=,\s]+|{'|'.join((*_PLAIN, *_CONVERSATION))})"
_NEXT = re.compile(rf",(?=\s*{_FIELD}\s*=)")
_KNOWN = re.compile(_FIELD)
_SCALED = re.compile(r"(?P<column>.+?)\s*(?P<sign>[*/])\s*(?P<by>\d+(?:\.\d+)?|\.\d+)")
_WAYS = (
    {"input", "output"},
    {"messages"},
    {"conversations"},
    {"instruction", "output"},
    {"prompt", "completion"},
)
"""Fields of which a record can be made."""


def understood(
    given: RowMap, tasks: Mapping[str, Task], aliases: Mapping[str, str]
) -> dict[str, Source]:
    """Where each field of a map comes from.

    Args:
        tasks: by short name.
        aliases: every name of a task, to the short one.

    Raises:
        InputError: it cannot be understood, or makes no record.
        TaskError: it names a task that is none.
    """
    pairs = _pairs(given)
    fields: dict[str, Source] = {}
    for name, text in pairs:
        if not _KNOWN.fullmatch(name):
            meant = nearest(name, (*_PLAIN, *_CONVERSATION))
            raise InputError(
                f"A record has no field {name!r}.",
                where=WHERE,
                fix=f"{f'Did you mean {meant}? ' if meant else ''}Fields: {', '.join(_PLAIN)}, output.KEY, "
                f"metadata.KEY, {', '.join(_CONVERSATION)}.",
            )
        if any(
            name == each or name.startswith(f"{each}.") or each.startswith(f"{name}.")
            for each in fields
        ):
            raise InputError(
                f"The field {name} is given twice in one map.",
                where=WHERE,
                fix="Give each field once; a second --map makes a second record of each row.",
            )
        fields[name] = _source(name, text, tasks, aliases)
    named = {name.partition(".")[0] for name in fields}
    if not any(way <= named for way in _WAYS) or all(each.is_constant for each in fields.values()):
        raise InputError(
            f"This map makes no record; it names {', '.join(fields) or 'nothing'}.",
            where=WHERE,
            fix="A record needs input and output, or messages: --map input=COLUMN,output=COLUMN",
        )
    return fields


def refuse_unknown_keys(fields: Mapping[str, Source], task: Task) -> None:
    """Raises InputError where a map gives an answer a key that the task's answers do not have."""
    properties: Mapping[str, Any] = task.schema["properties"]
    for name in fields:
        outer, _, path = name.partition(".")
        key = path.partition(".")[0]
        if outer == "output" and key and key not in properties:
            meant = nearest(key, properties)
            raise InputError(
                f"An answer to the task {task.short} has no {key!r}.",
                where=WHERE,
                fix=f"{f'Did you mean output.{meant}? ' if meant else ''}Its keys: {', '.join(properties)}.",
            )


def _pairs(given: RowMap) -> list[tuple[str, str]]:
    if not isinstance(given, str):
        pairs = [(name.strip(), text.strip()) for name, text in given.items()]
    else:
        parts = [part.partition("=") for part in _NEXT.split(given)]
        pairs = [(name.strip(), text.strip()) for name, _, text in parts]
    for name, text in pairs:
        if not text:
            raise InputError(
                f"{name!r} names no column.",
                where=WHERE,
                fix="Write FIELD=COLUMN,FIELD=COLUMN, such as input=learner_text,output=corrected_text.",
            )
    return pairs


def _source(name: str, text: str, tasks: Mapping[str, Task], aliases: Mapping[str, str]) -> Source:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if quoted:
        text = text[1:-1]
    if name == "task" and (quoted or text in aliases):
        if text not in aliases:
            raise unknown_task(text, tasks, where=WHERE)
        return Source(aliases[text], is_constant=True)
    if quoted:
        return Source(text, is_constant=True)
    found = _SCALED.fullmatch(text)
    if found is None:
        return Source(text)
    by = float(found["by"])
    if by == 0:
        raise InputError(
            f"The scale of {text} is zero.", where=WHERE, fix="Write COLUMN/NUMBER, say band/9."
        )
    column = found["column"]
    if found["sign"] == "/":
        return Source(text, scaled_column=column, divisor=by)
    return Source(text, scaled_column=column, factor=by)
