"""Misspellings such as learners make: a doubled letter, a lost one, two swapped, a wrong vowel.

Each word has at most two, always the same, so that a model can learn them as it learns words.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_SHORTEST = 5
_EACH = 2
_SOUNDS_ALIKE = (
    ("ie", "ei"), ("ph", "f"), ("tion", "sion"), ("ea", "ee"), ("ou", "u"), ("ce", "se"),
    ("ck", "k"), ("wr", "r"), ("ant", "ent"), ("ent", "ant"), ("er", "ar"), ("or", "er"),
    ("ious", "ous"), ("ei", "ie"), ("y", "i"),
)  # fmt: skip
_REAL = frozenset(
    ("tried", "signs", "signing", "dairy", "quite", "stared", "planed", "lather", "waster")
)


def _candidates(word: str) -> Iterator[str]:
    for index in range(1, len(word) - 1):
        if word[index] == word[index + 1]:
            yield word[:index] + word[index + 1 :]
    for right, wrong in _SOUNDS_ALIKE:
        index = word.find(right, 1)
        if index > 0:
            yield word[:index] + wrong + word[index + len(right) :]
    middle = 1 + zlib.crc32(word.encode()) % (len(word) - 3)
    if word[middle] != word[middle + 1]:
        swapped = word[middle + 1] + word[middle]
        yield word[:middle] + swapped + word[middle + 2 :]
    for index in range(len(word) - 2, 1, -1):
        if word[index] not in "aeiouyhw" and word[index - 1] in "aeiou":
            yield word[: index + 1] + word[index:]
            return


def misspellings(word: str, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """At most two wrong spellings of ``word``, none of which is in ``known``; none if it is short."""
    if len(word) < _SHORTEST:
        return ()
    wrong = [text for text in dict.fromkeys(_candidates(word)) if text not in known | _REAL]
    return tuple(wrong[:_EACH])
