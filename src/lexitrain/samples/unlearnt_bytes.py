"""Characters that a base's vocabulary does not have, so that a sample spells them byte by byte.

A tokenizer writes any text, but what it has no token for becomes single bytes (byte-level BPE, byte fallback of
SentencePiece) or the unknown token. A character that its vocabulary was made without is one that the base has hardly
seen, and it learns to write it badly, without a word: the loss just stays high. So the share of such tokens is told.

A byte that stands alone between merged ones is no sign: a vocabulary that knows `ở` as two bytes and one more knows it.
Two or more in a row are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexitrain.samples.sample import Ids, Sample

TOLERATED = 0.02
"""Share of a task's tokens, of its answers or of all, above which it is told. A symbol now and then is below it."""
_MOST_SAMPLES = 20_000
"""Samples that are looked at, spread over all."""
_MOST_RUNS = 2_000
_NAMED = 8
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_BROKEN = "\ufffd"


_Run = tuple[tuple[int, ...], tuple[int, ...]]
"""Ids of bytes that follow each other, and the same with their neighbours."""


@dataclass
class _Counted:
    """What was counted of one task."""

    tokens: int = 0
    bytes: int = 0
    answer_tokens: int = 0
    answer_bytes: int = 0
    runs: Counter[_Run] = field(default_factory=Counter[_Run])

    @property
    def share(self) -> float:
        """Of the answers' tokens or of all, whichever is larger."""
        return max(self.bytes / max(1, self.tokens), self.answer_bytes / max(1, self.answer_tokens))


class Unlearnt(NamedTuple):
    """A warning: what was found, and what to do."""

    what: str
    fix: str


def unlearnt_bytes(tokenizer: Any, samples: Sequence[Sample], shown: str = "") -> list[Unlearnt]:
    """A warning for each task in which such characters are more than a few.

    Args:
        tokenizer: the one that the samples were made with, any of transformers'.
        samples: of any tasks.
        shown: characters that the base is known to have learnt byte by byte.
    """
    reader = _Reader(tokenizer, frozenset(shown))
    chosen = np.unique(
        np.linspace(0, len(samples) - 1, min(len(samples), _MOST_SAMPLES)).astype(np.int64)
    )
    tasks: dict[str, _Counted] = {}
    for index in chosen.tolist():
        sample: Sample = samples[int(index)]
        _count(tasks.setdefault(sample.task, _Counted()), sample, reader)
    return [
        _warning(task, counted, reader)
        for task, counted in sorted(tasks.items())
        if counted.share > TOLERATED
    ]


class _Reader:
    """What ids stand for, asked of the tokenizer once each."""

    def __init__(self, tokenizer: Any, shown: frozenset[str]) -> None:
        self._tokenizer = tokenizer
        self.shown = shown
        self._bytes: dict[int, bool] = {}
        self._characters: dict[_Run, str] = {}
        self.unknown = _unknown(tokenizer)
        self.unknown_name = str(tokenizer.unk_token)

    def is_byte(self, token: int) -> bool:
        """Whether a token is one byte of a character that has several."""
        if token not in self._bytes:
            written = str(self._tokenizer.convert_ids_to_tokens(token))
            single = len(written) == 1 or _BYTE.fullmatch(written) is not None
            self._bytes[token] = single and _BROKEN in self._tokenizer.decode([token])
        return self._bytes[token]

    def characters(self, run: _Run) -> str:
        """What a run of bytes spells; "" where they are not whole characters, even with the tokens beside."""
        if run not in self._characters:
            text = str(self._tokenizer.decode(list(run[0])))
            if _BROKEN in text:  # a byte of it was merged with the token beside
                text = str(self._tokenizer.decode(list(run[1])))
            spelt = "".join(each for each in text if ord(each) > 127 and each != _BROKEN)
            self._characters[run] = spelt
        return self._characters[run]

    def was_shown(self, run: _Run) -> bool:
        """Whether the base has learnt all that it spells."""
        spelt = self.shown and self.characters(run)
        return bool(spelt) and self.shown.issuperset(spelt)


def _count(counted: _Counted, sample: Sample, reader: _Reader) -> None:
    ids = sample.token_ids
    alone = np.array([reader.is_byte(each) for each in ids.tolist()], dtype=np.bool_)
    beside = np.zeros_like(alone)
    beside[1:] |= alone[:-1]
    beside[:-1] |= alone[1:]
    fallen = (alone & beside) | (ids == reader.unknown)
    runs = _runs(ids, fallen)
    for start, end, run in runs:
        if reader.was_shown(run):
            fallen[start:end] = False
    counted.tokens += len(ids)
    counted.bytes += int(fallen.sum())
    counted.answer_tokens += int(sample.supervised.sum())
    counted.answer_bytes += int((fallen[len(sample.prompt_ids) :] & sample.supervised).sum())
    if fallen.any() and len(counted.runs) < _MOST_RUNS:
        counted.runs.update(run for start, _, run in runs if fallen[start])


def _unknown(tokenizer: Any) -> int:
    """The unknown token's id; -1 where there is none, or where it is a token that samples hold for other reasons."""
    unknown = tokenizer.unk_token_id
    others = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
    return -1 if unknown is None or unknown in others else int(unknown)


def _runs(ids: Ids, fallen: NDArray[np.bool_]) -> list[tuple[int, int, _Run]]:
    """The tokens that follow each other: where they begin and end, alone and with the tokens on both sides."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fallen, [False]]).astype(np.int8)))
    return [
        (
            start,
            end,
            (tuple(ids[start:end].tolist()), tuple(ids[max(0, start - 1) : end + 1].tolist())),
        )
        for start, end in edges.reshape(-1, 2).tolist()
    ]


def _warning(task: str, counted: _Counted, reader: _Reader) -> Unlearnt:
    characters: Counter[str] = Counter()
    for run, times in counted.runs.items():
        for each in set(reader.characters(run)) - reader.shown:
            characters[each] += times
    if any(reader.unknown in run for run, _ in counted.runs):
        characters[f"whatever became {reader.unknown_name}"] = 1
    named = " ".join(each for each, _ in characters.most_common(_NAMED))
    more = " …" if len(characters) > _NAMED else ""
    which = f" ({named}{more})" if named else ""
    return Unlearnt(
        f"{task}: {counted.share:.0%} of the tokens stand for characters that the base's vocabulary does not have"
        f"{which}, byte by byte: it has hardly seen them and learns to write them badly.",
        "Write them in characters that it knows, or take a base that knows them.",
    )
