"""Whether a text is Vietnamese, told by its letters.

Vietnamese is written with letters that hardly any other language has: those with a tone mark on a marked or plain vowel
(U+1EA0 to U+1EF9), and ơ and ư. Of the words in real explanations a third to three quarters hold one; quoted English
lowers that. Text without any diacritics is not counted as Vietnamese: it is hard to read, and no tutor writes it.
"""

from __future__ import annotations

import re
from unicodedata import normalize

_WORD = re.compile(r"[^\W\d_]+")
_LETTER = re.compile("[\u1ea0-\u1ef9\u01a0\u01a1\u01af\u01b0]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|‘[^’]*’|`[^`]*`|\*\*[^*]*\*\*|\([^)]*\)")

LEAST_MARKED = 0.2
"""Share of words with a diacritic from which on a text may be Vietnamese, if `LEAST_OWN` have a letter of its own."""
LEAST_OWN = 0.1


def is_vietnamese(text: str) -> bool:
    """Whether the words outside quotations and brackets are Vietnamese: a fifth of them with a diacritic, a tenth with
    a letter that hardly any other language has."""
    plain = normalize("NFC", text)
    words = _WORD.findall(_QUOTED.sub(" ", plain)) or _WORD.findall(plain)
    if not words:
        return False
    marked = sum(not word.isascii() for word in words) / len(words)
    own = sum(bool(_LETTER.search(word)) for word in words) / len(words)
    return marked >= LEAST_MARKED and own >= LEAST_OWN
