"""Learner errors: some of a sentence's possible slips, made.

The slips never overlap, so each can be undone on its own and the right sentence is the only
reference. Types are drawn evenly among those the sentence offers, so that the rare ones are met.
"""

from __future__ import annotations

from typing import NamedTuple

from lexitrain.synthetic.sentence import Sentence, Slip, written


class Error(NamedTuple):
    """An error made: its type, the wrong words, and the right ones, both as they are written."""

    kind: str
    span: str
    right: str


class Attempt(NamedTuple):
    """What a learner wrote: the text and the errors in it, in reading order."""

    text: str
    errors: tuple[Error, ...]

    @property
    def kinds(self) -> list[str]:
        """The types of the errors, in reading order."""
        return [error.kind for error in self.errors]


def attempt(sentence: Sentence, count: int) -> Attempt | None:
    """``sentence`` with ``count`` errors, or None where it has not so many places for them."""
    if count == 0:
        return Attempt(sentence.text, ())
    chosen = _choose(sentence, count)
    if chosen is None:
        return None
    right = sentence.words
    words: list[str] = []
    made: list[tuple[Slip, int]] = []
    position = 0
    for slip in chosen:
        words += right[position : slip.start]
        made.append((slip, len(words)))
        words += slip.wrong
        position = slip.stop
    words += right[position:]
    if words == right:
        return None
    errors: list[Error] = []
    for slip, start in made:
        span = _span(words, start, start + len(slip.wrong))
        errors.append(Error(slip.kind, span, _span(right, slip.start, slip.stop)))
    return Attempt(written(words, sentence.mark), tuple(errors))


def _span(words: list[str], start: int, stop: int) -> str:
    text = " ".join(words[start:stop])
    return text if start else text[0].upper() + text[1:]


def _choose(sentence: Sentence, count: int) -> list[Slip] | None:
    random = sentence.rng.random
    places: dict[str, list[Slip]] = {}
    for slip in sentence.slips:
        places.setdefault(slip.kind, []).append(slip)
    chosen: list[Slip] = []
    while len(chosen) < count:
        if not places:
            return None
        kinds = list(places)
        kind = kinds[int(random() * len(kinds))]
        options = places[kind]
        slip = options.pop(int(random() * len(options)))
        if not options:
            del places[kind]
        if all(slip.stop <= other.start or other.stop <= slip.start for other in chosen):
            chosen.append(slip)
    chosen.sort(key=lambda slip: slip.start)
    return chosen
