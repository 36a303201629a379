"""How a text is cut into tokens for scoring, and runs of tokens.

The tokens are the same whether a text was tokenized ("do n't ,") or not ("don't,"), and whether its accents are
characters of their own or not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "…": "..."})
_SPLIT_CLITIC = re.compile(r"(?<=\w) (?=(?:n't|'(?:s|re|ve|ll|d|m))\b)", re.IGNORECASE)
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|\w+(?:['-]\w+)*|\.{3}|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Words and punctuation marks; clitics joined to their word, quotation marks made straight."""
    text = " ".join(normalize("NFC", text).translate(_QUOTES).replace("''", '"').split())
    return _TOKEN.findall(_SPLIT_CLITIC.sub("", text))


def ngrams(tokens: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """All runs of `order` tokens."""
    return [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
