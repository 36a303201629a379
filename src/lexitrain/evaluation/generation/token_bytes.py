"""What each token of a base's vocabulary stands for in an answer, as bytes.

A grammar is held against bytes, and what a token says is decided by the tokenizer's decoder: a byte-level vocabulary
spells bytes with letters of its own, SentencePiece writes spaces as a mark and rare characters as `<0xNN>`. So each
token is decoded behind another one. A token that means one thing alone and another in company (WordPiece) shows when an
answer is decoded: `SchemaMasks` compares.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lexitrain.errors import ModelError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_CONTINUATIONS = [bytes([byte]) for byte in range(0x80, 0xC0)]


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of each token, by id; empty for special tokens, and for ids that are no token.

    Where the vocabulary lacks bytes with which a character goes on, tokens that end within one are empty, too: nothing
    could come after them.

    Raises:
        ModelError: it is no tokenizer of the library tokenizers.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"Answers cannot be held to a schema: the tokenizer ({type(tokenizer).__name__}) has no tokenizer.json.",
            where="--json-schema",
            fix="Convert it to a fast tokenizer, or leave --json-schema out.",
        )
    vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=True)
    found = [b""] * (max(vocabulary.values(), default=-1) + 1)
    added = backend.get_added_tokens_decoder()
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    own = {piece: token for piece, token in vocabulary.items() if token not in added}
    spelt = _by_letters(own) if _names(decoder, "ByteLevel") else _by_decoder(backend, own)
    plain = {token: each.content for token, each in added.items() if not each.special}
    for token, said in [*spelt.items(), *((t, c.encode()) for t, c in plain.items())]:
        found[token] = said
    for token in set(tokenizer.all_special_ids) & set(range(len(found))):
        found[token] = b""
    if _names(decoder, "ByteFallback"):
        spellings = ((token, _BYTE.fullmatch(piece)) for piece, token in vocabulary.items())
        for token, byte in ((token, byte) for token, byte in spellings if byte):
            found[token] = bytes([int(byte[1], 16)])
    if not set(_CONTINUATIONS) <= set(found):
        found = [said if _whole(said) else b"" for said in found]
    return found


def _names(decoder: dict[str, Any], kind: str) -> bool:
    """Whether a decoder, or one of the sequence that it is, is of this kind."""
    return decoder.get("type") == kind or any(
        _names(each, kind) for each in decoder.get("decoders", ())
    )


def _by_letters(vocabulary: dict[str, int]) -> dict[int, bytes]:
    """Of byte-level BPE: each letter of a piece is a byte (Radford et al. 2019); others are themselves."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    return {
        token: bytes(byte_of[letter] for letter in piece)
        if all(letter in byte_of for letter in piece)
        else piece.encode()
        for piece, token in vocabulary.items()
    }


def _by_decoder(backend: Any, vocabulary: dict[str, int]) -> dict[int, bytes]:
    """By decoding each token behind a letter."""
    anchor = next((vocabulary[letter] for letter in "aeinot" if letter in vocabulary), None)
    if anchor is None:
        return {}
    (before,) = backend.decode_batch([[anchor]], skip_special_tokens=False)
    pairs = [[anchor, token] for token in vocabulary.values()]
    said = backend.decode_batch(pairs, skip_special_tokens=False)
    return {
        token: text.removeprefix(before).encode()
        for token, text in zip(vocabulary.values(), said, strict=True)
        if text.startswith(before)
    }


def _whole(said: bytes) -> bool:
    try:
        said.decode()
    except UnicodeDecodeError:
        return False
    return True
