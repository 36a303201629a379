"""M2 files: sentences with their grammatical edits, the field's format for grammar corpora (CoNLL-2014, BEA-2019).

A block is one `S` line of tokens and an `A` line an edit:
`A start end|||type|||correction|||REQUIRED|||-NONE-|||annotator`. The first annotator makes the record's output,
every annotator a reference. Reading streams block by block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_NO_CHANGE = frozenset(("noop", "UNK"))
"""Types of edits that change nothing: a sentence without errors, and an error that the annotator could not correct."""


class Edit(NamedTuple):
    """Replace tokens `start:end` by `correction`."""

    start: int
    end: int
    kind: str
    correction: list[str]


def m2_file_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The rows of a file, as `m2_rows`."""
    with path.open(encoding="utf-8-sig") as file:
        yield from m2_rows(file)


def m2_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yields `(line of the S line, row)` a block; the row is a text with the reason where the block is malformed."""
    block: list[str] = []
    first = 0
    for number, line in enumerate(lines, start=1):
        text = line.rstrip("\r\n")
        if text.strip():
            if not block:
                first = number
            block.append(text)
        elif block:
            yield first, _row(block)
            block = []
    if block:
        yield first, _row(block)


def _row(block: list[str]) -> dict[str, Any] | str:
    if not block[0].startswith("S "):
        return "an M2 block starts with an S line"
    tokens = block[0][2:].split()
    edits: dict[str, list[Edit]] = {}
    for line in block[1:]:
        try:
            annotator, edit = _edit(line, len(tokens))
        except ValueError as error:
            return f"malformed edit {line[:60]!r}: {error}"
        known = edits.setdefault(annotator, [])
        if edit is not None:
            known.append(edit)
    corrections = {annotator: _apply(tokens, found) for annotator, found in edits.items()}
    main = min(edits, default=None)
    output = {
        "corrected": " ".join(tokens) if main is None else corrections[main],
        "errors": [] if main is None else [_error(tokens, edit) for edit in edits[main]],
    }
    metadata: dict[str, Any] = {"tokenised": True}
    if len(corrections) > 1:
        metadata["references"] = [corrections[annotator] for annotator in sorted(corrections)]
    return {"task": "grammar", "input": " ".join(tokens), "output": output, "metadata": metadata}


def _edit(line: str, length: int) -> tuple[str, Edit | None]:
    if not line.startswith("A "):
        raise ValueError("expected an A line")
    fields = line[2:].split("|||")
    if len(fields) < 6:
        raise ValueError("expected six fields between |||")
    start, end = (int(place) for place in fields[0].split())
    if fields[1] in _NO_CHANGE or start < 0:
        return fields[5], None
    if not start <= end <= length:
        raise ValueError(f"tokens {start}:{end} of a sentence of {length}")
    correction = [] if fields[2] == "-NONE-" else fields[2].split()
    return fields[5], Edit(start, end, fields[1], correction)


def _apply(tokens: list[str], edits: list[Edit]) -> str:
    corrected = list(tokens)
    # From the right, so that the places of the edits that are still to come stay true.
    for edit in sorted(edits, key=lambda edit: edit[:2], reverse=True):
        corrected[edit.start : edit.end] = edit.correction
    return " ".join(corrected)


def _error(tokens: list[str], edit: Edit) -> dict[str, str]:
    """An insertion has no wrong tokens: its span is the token it follows."""
    wrong = tokens[edit.start : edit.end] or tokens[max(0, edit.start - 1) : max(1, edit.start)]
    return {"type": edit.kind, "span": " ".join(wrong)}
