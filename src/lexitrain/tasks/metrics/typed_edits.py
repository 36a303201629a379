"""Which of a reference's edits are of which error type, and how many of each a correction made.

Gold errors are a type and the words concerned (of a missing word, a neighbour). An edit is of the type of the error
whose words it changes or touches; an edit that touches none has no type, and is in no table. Of a correction's own
edits no type is known, so what can be told by type is recall, as in shared tasks whose systems give no types (Ng et
al. 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lexitrain.tasks.metrics.edits import Edit, edits
from lexitrain.tasks.metrics.tokens import tokenize


def made_by_type(
    source: Sequence[str],
    answer: Sequence[str] | None,
    reference: Sequence[str],
    errors: Sequence[Mapping[str, str]],
) -> dict[str, tuple[int, int]]:
    """Of each type the edits that the answer made and those that the reference has.

    Args:
        source, answer, reference: tokens; None for an invalid answer.
        errors: `{"type", "span"}` each, in reading order.
    """
    made = set[Edit]() if answer is None else set(edits(source, answer))
    found: dict[str, tuple[int, int]] = {}
    for edit, kind in _typed(source, edits(source, reference), errors):
        right, wanted = found.get(kind, (0, 0))
        found[kind] = (right + (edit in made), wanted + 1)
    return found


def _typed(
    source: Sequence[str], wanted: Sequence[Edit], errors: Sequence[Mapping[str, str]]
) -> list[tuple[Edit, str]]:
    """The edits that an error explains, with its type: of one that changes the error's words rather than a neighbour's,
    and of the earlier one of equals."""
    words = [word.casefold() for word in source]
    places = [
        (start, end, error["type"])
        for error in errors
        for start, end in _occurrences(words, [w.casefold() for w in tokenize(error["span"])])
    ]
    typed: list[tuple[Edit, str]] = []
    for edit in wanted:
        start, end, _ = edit
        touching = [each for each in places if start <= each[1] and each[0] <= end]
        changed = [each for each in touching if start < each[1] and each[0] < end]
        if touching:
            typed.append((edit, (changed or touching)[0][2]))
    return typed


def _occurrences(words: Sequence[str], span: Sequence[str]) -> list[tuple[int, int]]:
    """Where the words of an error stand: (first, one past the last)."""
    size = len(span)
    starts = range(len(words) - size + 1) if size else ()
    return [(at, at + size) for at in starts if list(words[at : at + size]) == list(span)]
