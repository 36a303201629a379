"""Which tokens may come next, for answers that must satisfy a task's schema.

llguidance follows the grammar in every answer and fills one bit a token. Its own function that puts the bits on logits
is compiled by torch for half a minute; here numpy unpacks them. An answer is complete as soon as its object is closed,
as nothing may follow; stop tokens are never allowed before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import MissingExtra, ModelError, TaskError
from lexitrain.evaluation.generation.answer_grammar import AnswerGrammar, answer_grammar
from lexitrain.evaluation.generation.token_bytes import token_bytes
from lexitrain.tasks import Task

_LONGEST = 64  # bytes of a token that is looked for where the tokenizer itself cannot be asked


def require_llguidance() -> Any:
    """The package.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtra("llguidance", "eval") from error
    return llguidance


class SchemaMasks:
    """The answers of one task, held to its schema.

    Args:
        tokenizer: of the model.
        stop_ids: tokens that end an answer.
        task: whose schema it is.

    Raises:
        MissingExtra: llguidance is not installed.
        TaskError: no answer can satisfy the schema, or it is larger than llguidance takes.
        ModelError: the vocabulary cannot write such an answer, or is not understood.
    """

    def __init__(self, tokenizer: Any, stop_ids: Collection[int], task: Task) -> None:
        library = require_llguidance()
        self.task = task.short
        self._tokenizer = tokenizer
        vocabulary = _vocabulary(tokenizer, frozenset(stop_ids))
        self.tokens = vocabulary.tokens
        self._loses_space = vocabulary.loses_space
        grammar = answer_grammar(task.schema, task.short, space_before=self._loses_space)
        vocabulary.require(grammar)
        self._first = library.LLMatcher(
            vocabulary.grammar_tokenizer,
            library.LLMatcher.grammar_from_lark(grammar.lark),
            log_level=0,
        )
        self.require_no_error(self._first)

    def rows(self, count: int) -> SchemaRows:
        """For answers that begin."""
        return SchemaRows(self, [self._first.deep_copy() for _ in range(count)])

    def check(self, tokens: Sequence[int]) -> None:
        """That a finished answer is decoded to what the grammar has seen.

        Raises:
            ModelError: it is not.
        """
        seen = b"".join(self.tokens[token] for token in tokens).decode()
        said = self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        if (
            self._loses_space
        ):  # a mark is lost, a space that is spelt as a byte is not: both are read alike
            seen, said = seen.removeprefix(" "), said.removeprefix(" ")
        if said != seen:
            raise ModelError(
                f"Answers cannot be held to a schema: the tokenizer reads {seen[:80]!r} as {said[:80]!r}.",
                where="--json-schema",
                fix="Leave --json-schema out: this tokenizer's tokens mean different things in different company.",
            )

    def require_no_error(self, matcher: Any) -> None:
        """Raises:
        TaskError: llguidance gave up on what the matcher follows.
        """
        if matcher.is_error():
            reason = matcher.get_error().partition("\n")[0]
            raise TaskError(
                f"The schema of the task {self.task} is too large for llguidance: {reason}.",
                where="--json-schema",
                fix="Shorten its enum, or leave --json-schema out.",
            )


class SchemaRows:
    """Answers that are being written, one a row of a batch."""

    def __init__(self, masks: SchemaMasks, matchers: list[Any]) -> None:
        self._masks = masks
        self._matchers = matchers

    def allowed(self, live: Sequence[int], width: int) -> NDArray[np.bool_]:
        """bool [len(live), width]: the tokens that may come next in these rows, none of which is complete.

        Args:
            width: of the logits, which may be wider or narrower than the vocabulary.

        Raises:
            ModelError: no token may.
        """
        from llguidance.numpy import fill_next_token_bitmask_par

        tokens = len(self._masks.tokens)
        found = np.zeros((len(live), width), dtype=np.bool_)
        if not live:
            return found
        bits = np.zeros((len(live), tokens // 32 + 1), dtype=np.int32)
        fill_next_token_bitmask_par(
            _executor(), [(self._matchers[row], place) for place, row in enumerate(live)], bits
        )
        known = min(width, tokens)
        unpacked = np.unpackbits(bits.view(np.uint8), axis=1, count=known, bitorder="little")
        found[:, :known] = unpacked
        for place in np.flatnonzero(~found.any(axis=1)).tolist():
            self._masks.require_no_error(self._matchers[live[place]])
            raise ModelError(
                f"No token of the base's vocabulary goes on with an answer to the task {self._masks.task}.",
                where="--json-schema",
                fix="Leave --json-schema out for this base.",
            )
        return found

    def take(self, row: int, token: int) -> bool:
        """Let the row's answer go on with an allowed token; whether it is complete then.

        Raises:
            TaskError: llguidance gave up.
        """
        matcher = self._matchers[row]
        if not matcher.consume_token(token):
            self._masks.require_no_error(matcher)
        return matcher.is_accepting()

    def keep(self, rows: Sequence[int]) -> None:
        """Leave the other rows out."""
        self._matchers = [self._matchers[row] for row in rows]


class _Vocabulary:
    """What llguidance needs to know of a tokenizer, in the form in which it asks."""

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        from llguidance import LLTokenizer
        from llguidance._tokenizer import TokenizerWrapper

        spelt = token_bytes(tokenizer)
        self.tokens = [b"" if token in stop_ids else said for token, said in enumerate(spelt)]
        self._backend = tokenizer.backend_tokenizer
        self._ids = {said: token for token, said in enumerate(self.tokens) if said}
        spaced = next(
            (token for said, token in self._ids.items() if said == b" {"), self._ids.get(b" ")
        )
        self.loses_space = spaced is not None and not tokenizer.decode([spaced]).startswith(" ")
        wrapped = TokenizerWrapper(_Asked(self))
        self.grammar_tokenizer = LLTokenizer(wrapped)

    def encode(self, said: bytes) -> list[int]:
        """Tokens that stand for these bytes, as the tokenizer would cut them where that can be told."""
        try:
            text = said.decode()
        except UnicodeDecodeError:
            return self._longest(said)
        for before in ("", "a"):  # behind a letter SentencePiece writes no mark
            ids = self._backend.encode(before + text, add_special_tokens=False).ids
            while ids:
                if b"".join(self._said(token) for token in ids) == said:
                    return ids
                ids = ids[1:] if before else []
        return self._longest(said)

    def _said(self, token: int) -> bytes:
        return self.tokens[token] or b"\xff"

    def _longest(self, said: bytes) -> list[int]:
        found: list[int] = []
        while said:
            length = next(
                (n for n in range(min(len(said), _LONGEST), 0, -1) if said[:n] in self._ids), 0
            )
            if not length:
                break  # llguidance goes on by itself
            found.append(self._ids[said[:length]])
            said = said[length:]
        return found

    def require(self, grammar: AnswerGrammar) -> None:
        """Raises:
        ModelError: a character without which no answer can be written cannot be written.
        """
        lacking = [
            letter
            for letter in sorted(grammar.written)
            if letter.encode() not in self._ids
            and not all(bytes([byte]) in self._ids for byte in letter.encode())
        ]
        if lacking:
            raise ModelError(
                f"Answers cannot be held to the schema: the base has no token for {' '.join(lacking)}.",
                where="--json-schema",
                fix="Leave --json-schema out for this base.",
            )


class _Asked:
    """A vocabulary as `TokenizerWrapper` takes it. The end of an answer is a token beyond the vocabulary."""

    def __init__(self, vocabulary: _Vocabulary) -> None:
        self.tokens = [*vocabulary.tokens, b"<end>"]
        self.eos_token_id = len(vocabulary.tokens)
        self.bos_token_id = None
        self.special_token_ids = [self.eos_token_id]
        self._encode = vocabulary.encode

    def __call__(self, said: bytes | str) -> list[int]:
        return self._encode(said if isinstance(said, bytes) else said.encode())


@lru_cache(maxsize=2)
def _vocabulary(tokenizer: Any, stop_ids: frozenset[int]) -> _Vocabulary:
    """Of a tokenizer; a large vocabulary takes a second."""
    return _Vocabulary(tokenizer, stop_ids)


@lru_cache(maxsize=1)
def _executor() -> Any:
    return require_llguidance().LLExecutor()
