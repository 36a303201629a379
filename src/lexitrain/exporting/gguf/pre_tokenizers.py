r"""Which of llama.cpp's pre-tokenizers splits text as a tokenizer does.

A GGUF file names its split rule, and a wrong name gives other tokens without a word. So the name is found by the rule
itself, as tokenizer.json writes it, and a rule that is not known here is refused. What llama.cpp does not do at all, it
leaves to who asks: it composes no characters (NFC), so text must be composed before it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any
from unicodedata import is_normalized

from lexitrain.errors import ModelError

_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_LLAMA_3 = _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def _split(pattern: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _bytes(*, split: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "use_regex": split}


_DIGITS = {"type": "Digits", "individual_digits": True}

_KNOWN: dict[str, tuple[tuple[dict[str, Any], ...], bool]] = {
    "qwen2": ((_split(_QWEN), _bytes(split=False)), False),
    "llama-bpe": ((_split(_LLAMA_3), _bytes(split=False)), True),
    "smollm": ((_DIGITS, _bytes(split=True)), False),
    "gpt-2": ((_bytes(split=True),), False),
}
"""llama.cpp's name -> the steps of tokenizer.json, and whether a text that is a token is one without merging."""


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """Attributes:
    name: in GGUF.
    composes: whether the tokenizer composes characters (NFC) first, which llama.cpp does not do.
    merges: pairs of pieces, such as `Ġ t`, in their order.
    """

    name: str
    composes: bool
    merges: tuple[str, ...]


def pre_tokenizer_of(tokenizer: Any) -> PreTokenizer:
    """How llama.cpp is told to split text for a tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers.

    Raises:
        ModelError: llama.cpp splits text otherwise.
    """
    written = json.loads(tokenizer.backend_tokenizer.to_str())
    model, normalizer = written["model"], written["normalizer"]
    name = tokenizer.name_or_path or type(tokenizer).__name__
    if model["type"] != "BPE" or model.get("byte_fallback") or model.get("dropout"):
        raise _unknown(name, f"it is of the kind {model['type']} and not byte-level BPE")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _unknown(name, "it marks pieces within a word, or a word's end")
    if normalizer not in (None, {"type": "NFC"}):
        raise _unknown(name, f"it rewrites text ({normalizer['type']}) before it splits it")
    steps = tuple(_steps(written["pre_tokenizer"]))
    found = next(
        (
            known
            for known, rule in _KNOWN.items()
            if rule == (steps, bool(model.get("ignore_merges")))
        ),
        None,
    )
    if found is None:
        raise _unknown(name, f"its rule is none of {', '.join(_KNOWN)}")
    _require_plain_tokens(written["added_tokens"], name)
    merges = (each if isinstance(each, str) else " ".join(each) for each in model["merges"])
    return PreTokenizer(found, normalizer is not None, tuple(merges))


def _require_plain_tokens(tokens: Sequence[Mapping[str, Any]], name: str) -> None:
    """Nothing, where tokens that are found in a text before it is split are found by llama.cpp too.

    It looks for the longest ones first; tokenizers takes the one that begins first, and those that are looked for in
    the composed text last.

    Raises:
        ModelError: they are not.
    """
    for token in tokens:
        text = token["content"]
        if token["single_word"] or token["lstrip"] or token["rstrip"]:
            raise _unknown(name, f"its token {text} takes spaces beside it")
        if token["normalized"] and not is_normalized("NFC", text):
            raise _unknown(name, f"its token {text!r} is not composed")
    for token, other in permutations(tokens, 2):
        first, second = token["content"], other["content"]
        shared = any(second.startswith(first[at:]) for at in range(1, len(first)))
        later = token["normalized"] and not other["normalized"] and second in first
        if later or (shared and not first.endswith(second)):
            raise _unknown(name, f"its tokens {first!r} and {second!r} may share letters")


def _steps(written: Any) -> list[dict[str, Any]]:
    """The steps of a pre-tokenizer without what changes no token (`trim_offsets`)."""
    if written is None:
        return []
    if written["type"] == "Sequence":
        return [step for each in written["pretokenizers"] for step in _steps(each)]
    return [{key: value for key, value in written.items() if key != "trim_offsets"}]


def _unknown(name: str, why: str) -> ModelError:
    return ModelError(
        f"It is not known how llama.cpp is to split text for this tokenizer: {why}.",
        where=name,
        fix="Use `--to merged`: the converter of llama.cpp may know it.",
    )
