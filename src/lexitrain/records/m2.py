"""M2 files: sentences with their grammatical edits, the field's format for grammar corpora (CoNLL-2014, BEA-2019).

A block is one `S` line of tokens and an `A` line an edit:
`A start end|||type|||correction|||REQUIRED|||-NONE-|||annotator`. The first annotator makes the record's output,
every annotator a reference. A correction may list alternatives, `a||b`: the first one makes the output, each of the
others a further reference. Reading streams block by block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

from lexitrain.records.opening.encodings import opened_text, text_lines

_NO_CHANGE = frozenset(("noop", "UNK", "Um"))
"""Types of edits that change nothing: a sentence without errors, and errors that the annotator could not correct or
not tell. The scorer of BEA-2019 skips the same three."""

_MOST_REFERENCES = 32
"""Of one annotator: alternatives of several edits multiply."""


class Edit(NamedTuple):
    """Replace tokens `start:end` by one of `corrections`, the annotator's first choice first."""

    start: int
    end: int
    kind: str
    corrections: list[list[str]]


def m2_file_rows(path: Path, name: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The rows of a file, as `m2_rows`.

    Args:
        name: the file as the user named it.

    Raises:
        DataError: the file is not UTF-8; names the line.
    """
    with opened_text(path, name) as file:
        yield from m2_rows(line for _, line in text_lines(file, name))


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
    annotators = sorted(edits, key=_order)
    for annotator in annotators:
        edits[annotator].sort(
            key=lambda edit: edit[:2]
        )  # stable: insertions at one place stay in the file's order
        if overlapping := _overlap(edits[annotator]):
            return f"edits of annotator {annotator} overlap at token {overlapping}"
    main = edits[annotators[0]] if annotators else []
    corrected = {annotator: _corrections(tokens, edits[annotator]) for annotator in annotators}
    output = {
        "corrected": corrected[annotators[0]][0] if annotators else " ".join(tokens),
        "errors": [_error(tokens, edit) for edit in main],
    }
    metadata: dict[str, Any] = {"tokenised": True}
    references = [text for annotator in annotators for text in corrected[annotator]]
    if len(references) > 1:
        metadata["references"] = references
    return {"task": "grammar", "input": " ".join(tokens), "output": output, "metadata": metadata}


def _order(annotator: str) -> tuple[bool, int, str]:
    """Annotators by their numbers: 10 after 2."""
    number = int(annotator) if annotator.isdecimal() else 0
    return (not annotator.isdecimal(), number, annotator)


def _edit(line: str, length: int) -> tuple[str, Edit | None]:
    if not line.startswith("A "):
        raise ValueError("expected an A line")
    # From both ends, for `||` at an end of the correction (the alternative of leaving it out) makes five bars in a row.
    front, back = line[2:].split("|||", 2), line.rsplit("|||", 3)
    if len(front) < 3 or len(back) < 4 or len(line.split("|||")) < 6:
        raise ValueError("expected six fields between |||")
    span, kind, _ = front
    correction = back[0][2:][len(span) + len(kind) + 6 :]
    if "|||" in correction:
        raise ValueError("expected six fields between |||")
    annotator = back[3]
    start, end = (int(place) for place in span.split())
    if kind in _NO_CHANGE:
        return annotator, None
    if not 0 <= start <= end <= length:
        raise ValueError(f"tokens {start}:{end} of a sentence of {length}")
    choices = [[] if text.strip() == "-NONE-" else text.split() for text in correction.split("||")]
    return annotator, Edit(start, end, kind, choices)


def _overlap(edits: list[Edit]) -> int | None:
    """The token at which two edits overlap, of edits in order."""
    for before, edit in pairwise(edits):
        if edit.start < before.end:
            return edit.start
    return None


def _corrections(tokens: list[str], edits: list[Edit]) -> list[str]:
    """The corrected sentence, first with the first alternative of every edit, then with the others."""
    chosen = product(*(edit.corrections for edit in edits))
    found = (_apply(tokens, edits, choice) for choice in islice(chosen, _MOST_REFERENCES))
    return list(dict.fromkeys(found))


def _apply(tokens: list[str], edits: list[Edit], choice: tuple[list[str], ...]) -> str:
    corrected: list[str] = []
    done = 0
    for edit, words in zip(edits, choice, strict=True):
        corrected += tokens[done : edit.start] + words
        done = edit.end
    return " ".join(corrected + tokens[done:])


def _error(tokens: list[str], edit: Edit) -> dict[str, str]:
    """An insertion has no wrong tokens: its span is the token it follows."""
    wrong = tokens[edit.start : edit.end] or tokens[max(0, edit.start - 1) : max(1, edit.start)]
    return {"type": edit.kind, "span": " ".join(wrong)}
