"""Whether a learner's text may be English, told by its commonest words.

Hardly any English text of eight words has neither one of the words that only English has (`the`, `is`, `with`, …) nor
two of those that it shares with other languages (`to`, `in`, `he`, …). Shorter texts are only told by their letters:
most of them not Latin, or Vietnamese. A rule for counting over many records, not a verdict on one: learners' errors
leave the commonest words standing, a list of names does not hold any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lexitrain.tasks.metrics.vietnamese import is_vietnamese

SHORTEST = 8  # words of a text that is told by its words
_SHARED_NEEDED = 2
_OWN = frozenset(
    """
    the and is are of for that this with it you my have has were we they she be not
    but from your his her their what when how can would very because there which
    who been about could should every people don didn doesn isn these those than
    then some many more much where why
    """.split()  # noqa: SIM905 (a list of one word a line would fill pages)
)
_SHARED = frozenset(
    """
    i a to in was he on do by so an as at go all or if out up will am did does
    """.split()  # noqa: SIM905 (a list of one word a line would fill pages)
)
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")


def may_be_english(text: str, words: Sequence[str]) -> bool:
    """Whether nothing speaks against a text's being English.

    Args:
        words: its words in small letters, split at everything that is no letter or digit.
    """
    if not text.isascii():
        letters = len(_LETTER.findall(text))
        if 2 * len(_LATIN.findall(text)) < letters or is_vietnamese(text):
            return False
    if len(words) < SHORTEST or not _OWN.isdisjoint(words):
        return True
    return len(_SHARED.intersection(words)) >= _SHARED_NEEDED
