"""A sentence under construction: its words, its graded words, and the slips a learner might make.

Every slip is noted while the sentence is made, because only then is it known why each word has
its form. Choosing errors later is a choice among these notes, and undoing one is unambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeVar

from lexitrain.synthetic.lexicon import Graded, graded_forms
from lexitrain.synthetic.spelling import misspellings

T = TypeVar("T")

ERROR_TYPES = (
    "article", "agreement", "tense", "noun_number", "preposition", "word_order",
    "missing_word", "spelling", "pronoun", "comparison", "word_form", "verb_form",
)  # fmt: skip
"""What a slip can be; agreement is that of subject and verb."""

FORMS = graded_forms()
_KNOWN = frozenset(FORMS)
MISSPELLED = {word: wrong for word in FORMS if (wrong := misspellings(word, _KNOWN))}
_LOW_SHARE = 0.65
_TARGET_SHARE = 0.6


class Slip(NamedTuple):
    """One possible error: words ``start:stop`` of the right sentence are written as ``wrong``."""

    kind: str
    start: int
    stop: int
    wrong: tuple[str, ...]


@dataclass(slots=True)
class Sentence:
    """Words (lower case but for names and *I*), end mark, possible slips and graded words."""

    rng: Random
    target: int
    words: list[str] = field(default_factory=list[str])
    mark: str = "."
    slips: list[Slip] = field(default_factory=list[Slip])
    graded: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    @property
    def level(self) -> int:
        """Index in LEVELS of the hardest word (0 where no word is graded)."""
        return max((level for level, _ in self.graded), default=0)

    @property
    def text(self) -> str:
        """The right sentence as a learner would read it."""
        return written(self.words, self.mark)

    def choose(self, table: Graded[T]) -> T:
        """An entry of ``table``, no harder than the target; often at the target level itself."""
        random = self.rng.random
        row = table[self.target]
        if not row or random() > _TARGET_SHARE:
            row = table[0]
            if random() > _LOW_SHARE:
                row = table[int(random() * (self.target + 1))] or row
        return row[int(random() * len(row))]

    def add(self, *words: str) -> int:
        """Append ungraded words; returns the index of the first."""
        index = len(self.words)
        self.words.extend(words)
        return index

    def add_graded(self, word: str, level: int) -> int:
        """Append a graded word, which can also be misspelled; returns its index."""
        index = len(self.words)
        self.words.append(word)
        self.graded.append((level, word))
        wrong = MISSPELLED.get(word)
        if wrong is not None:
            spelled = wrong[int(self.rng.random() * len(wrong))]
            self.slips.append(Slip("spelling", index, index + 1, (spelled,)))
        return index

    def slip(self, kind: str, start: int, stop: int, *wrong: str) -> None:
        """Note that words ``start:stop`` could be written as ``wrong``."""
        self.slips.append(Slip(kind, start, stop, wrong))


def written(words: list[str], mark: str) -> str:
    """Words as a line of text: a capital letter first, the end mark last."""
    text = " ".join(words)
    return text[0].upper() + text[1:] + mark
