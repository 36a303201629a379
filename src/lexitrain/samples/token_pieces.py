"""Texts whose pieces are told apart in their tokens: the prompt, then answers and what stands between them.

The rule: a border between two pieces is always a border between two tokens, and the prompt's tokens are those that it
has alone, so that the prompt of inference is the beginning of the training sample.

Where tokens of pieces, put side by side, read as the whole text (byte-level BPE), pieces are tokenized apart. Kinds
that write a marker before a text (SentencePiece, a prefix space) would put it into the middle: there the whole text is
tokenized once and split by the characters that its tokens stand for. A token that straddles a border is divided: what
comes after is then tokenized behind a line break, which keeps the marker away, and read back to prove it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from lexitrain.errors import ModelError

Pieces = list[list[int]]

_TRIED = ('{"corrected":"He goes to school.","errors":[]}', "Yes, it is right now.")
"""Answers that every tokenizer has to write; others are tried as they come (`TokenPieces.spoilt`)."""
_KEEPS_TEXT = {None, "NFC"}
_ANCHORS = ("\n", "a", ".")
"""Behind each of these a text is tokenized without a marker; which of them a tokenizer keeps by itself differs."""


class TokenPieces:
    """Splits texts into the tokens of their pieces.

    Args:
        tokenizer: a fast one of transformers.
        ends: text of the token, or tokens, that end a turn.

    Raises:
        ModelError: the tokenizer does not write what it has read.
    """

    def __init__(self, tokenizer: Any, ends: str) -> None:
        backend = tokenizer.backend_tokenizer
        name = str(tokenizer.name_or_path or type(tokenizer).__name__)
        self._tokenizer = tokenizer
        normalizer = None if backend.normalizer is None else type(backend.normalizer).__name__
        self._ends = ends
        self._end_ids = self.encode([ends])[0]
        self._apart = self._joins()
        # Bytes can write anything; other vocabularies lack characters, or drop them without a word.
        by_bytes = type(backend.decoder).__name__ == "ByteLevel"
        self._faithful = self._apart and by_bytes and normalizer in _KEEPS_TEXT
        for text in _TRIED:
            pieces = self.split([(f"{ends}\nuser: Hi\n", text + ends)])[0]
            read = "nothing" if pieces is None else self._read(pieces[1])
            if read != text:
                raise ModelError(
                    f"The tokenizer does not write what it has read: {read!r} where {text!r} was the answer.",
                    where=name,
                    fix="Use a base whose tokenizer keeps capitals, spaces and punctuation.",
                )

    def encode(self, texts: Sequence[str]) -> Pieces:
        """Ids of whole texts, without added special tokens: the template writes those that are to be there."""
        if not texts:
            return []
        return self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]

    def split(self, texts: Sequence[Sequence[str]]) -> list[Pieces | None]:
        """The ids of each text's pieces; None for a text whose tokens cannot be divided."""
        flat = iter(
            self.encode([piece for text in texts for piece in text[: None if self._apart else 1]])
        )
        if self._apart:
            return [[next(flat) for _ in text] for text in texts]
        whole = [(ids, offsets) for ids, offsets in self._with_offsets(["".join(t) for t in texts])]
        return [
            _by_offsets(text, alone, *both) or self._divided(text, alone, both[0])
            for text, alone, both in zip(texts, flat, whole, strict=True)
        ]

    def spoilt(self, ids: Sequence[int], text: str) -> str | None:
        """Why a model that says exactly these tokens does not say this answer, or None."""
        if self._faithful:
            return None
        if self._read(ids) == text.removesuffix(self._ends).strip():
            return None
        return (
            "The tokenizer does not write the answer as it reads it (it lacks or folds characters)"
        )

    def _read(self, ids: Sequence[int]) -> str:
        end = len(ids) - len(self._end_ids)
        whole = list(ids[end:]) == self._end_ids
        return self._decode(ids[:end] if whole else ids).strip()

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _joins(self) -> bool:
        """Whether tokens of two texts, side by side, always read as the texts side by side."""
        pairs = (
            ("assistant\n", "Yes"),
            ("a", "b"),
            ("x:", ' {"a"'),
            (self._ends, "\n{"),
            (self._ends, "It"),
        )
        return all(
            self._decode([*first, *second]) == a + b
            for a, b in pairs
            for first, second in [self.encode([a, b])]
        )

    def _with_offsets(self, texts: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        if not texts:
            return []
        found = self._tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        return list(zip(found["input_ids"], found["offset_mapping"], strict=True))

    def _divided(self, text: Sequence[str], alone: list[int], whole: list[int]) -> Pieces | None:
        read = self._decode(whole)
        for anchor in (self._ends, *_ANCHORS):
            kept, *behind = self.encode([anchor, *(anchor + piece for piece in text[1:])])
            pieces = [alone, *(ids[len(kept) :] for ids in behind)]
            anchored = all(ids[: len(kept)] == kept for ids in behind) and all(pieces)
            if anchored and self._decode([each for ids in pieces for each in ids]) == read:
                return pieces
        return None


def _by_offsets(
    text: Sequence[str], alone: list[int], ids: list[int], offsets: list[tuple[int, int]]
) -> Pieces | None:
    """The whole text's ids, cut where its pieces meet; None where a token straddles, or the prompt has others alone."""
    starts = [start for start, _ in offsets]
    cuts = [0]
    for border in list(accumulate(map(len, text)))[:-1]:
        cut = bisect_left(starts, border)
        if cut and offsets[cut - 1][1] > border:
            return None
        cuts.append(cut)
    if ids[: cuts[1] if len(cuts) > 1 else len(ids)] != alone:
        return None
    pieces = [ids[start:end] for start, end in pairwise([*cuts, len(ids)])]
    return pieces if all(pieces) else None
