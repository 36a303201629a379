"""Each split rule that is named is the one that llama.cpp then follows; others are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from lexitrain import export
from lexitrain.errors import ModelError
from lexitrain.exporting.gguf.pre_tokenizers import pre_tokenizer_of
from lexitrain.models import load_tokenizer
from lexitrain.serving import LlamaServer, tokenized
from tests.exporting.small_bases import RULES, save_base, tokenizer_of, vietnamese

_PLAIN = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": False,
}
#: What regular expressions of two libraries may see otherwise: blanks, apostrophes, digits, letters of many scripts.
_BLANKS = (
    "\u0085\u001c\u001f\u000b\u000c\u00a0\u1680\u180e\u2009\u200b\u2028\u202f\u205f\u3000\ufeff"
)
_RANGES = ((0, 0x250), (0x300, 0x370), (0x1E00, 0x2190), (0x2460, 0x2500), (0xFF00, 0xFFEF))
_APOSTROPHES = ("'ſ", "'S", "'LL", "'Ve", "’s", "'dd", "'K", "ſ'RE", "İ'm")


def hostile() -> list[str]:
    """Texts of single characters between others."""
    letters = (chr(each) for first, last in _RANGES for each in range(first, last))
    return [
        *(f"a{each}b {each}{each}c 1{each}\n{each}." for each in _BLANKS),
        *(f"it{each} {each}" for each in _APOSTROPHES),
        *(f"ab{each}cd 1{each}2 {each}" for each in letters),
    ]


def other_tokens(base: str | Path, file: Path, texts: list[str]) -> list[str]:
    """The texts that llama.cpp and the base's tokenizer read as other tokens, once composed."""
    tokenizer = load_tokenizer(str(base))
    with LlamaServer(file, slots=1, context=256, threads=1) as server:
        return [
            sent
            for sent in (normalize("NFC", text) for text in texts)
            for special in (True, False)
            if tokenized(server, sent, special=special)
            != tokenizer(sent, add_special_tokens=False, split_special_tokens=not special)[
                "input_ids"
            ]
        ]


@pytest.mark.slow
def test_vietnamese_becomes_the_same_tokens_with_nano(tmp_path: Path) -> None:
    texts = vietnamese(1000)
    assert sum(text != normalize("NFC", text) for text in texts) > 300
    report = export("nano", ["gguf"], quantize=["Q8_0"], out=tmp_path)
    assert other_tokens("nano", report.files[0].path, texts) == []


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_texts_become_the_same_tokens_by_each_rule(rule: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "llama", rule=rule, rows=520)
    added = [_PLAIN | {"content": text} for text in ("<x1>", "<x10>", "tiếng", "<think>")]
    edited(base, lambda written: written["added_tokens"].extend(numbered(added, 503)))
    report = export(base, ["gguf"], quantize=["F16"], out=tmp_path / "out")
    texts = ["<x10><x1>0 <think>\nhọc tiếng", *hostile(), *vietnamese(1000, seed=len(rule))]
    assert other_tokens(base, report.files[0].path, texts) == []


def numbered(tokens: list[dict[str, Any]], first: int) -> list[dict[str, Any]]:
    return [{"id": first + place, **token} for place, token in enumerate(tokens)]


def edited(base: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = base / "tokenizer.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    edit(written)
    path.write_text(json.dumps(written), encoding="utf-8")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_known_by_what_it_does(rule: str) -> None:
    found = pre_tokenizer_of(tokenizer_of(rule))
    assert found.name == rule
    assert found.composes == (rule == "qwen2")
    merges = json.loads(tokenizer_of(rule).backend_tokenizer.to_str())["model"]["merges"]
    assert [*found.merges] == [" ".join(each) for each in merges]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a family whose tokenizer transformers takes as tokenizer.json has it."""
    return save_base(tmp_path_factory.mktemp("rules") / "base", "llama", rows=520)


def first_step(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda written: written["pre_tokenizer"]["pretokenizers"][0].update(fields)


def pattern(old: str, new: str) -> Callable[[dict[str, Any]], object]:
    def edit(written: dict[str, Any]) -> None:
        held = written["pre_tokenizer"]["pretokenizers"][0]["pattern"]
        assert old in held["Regex"]
        held["Regex"] = held["Regex"].replace(old, new)

    return edit


def first_token(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda written: written["added_tokens"][0].update(fields)


def tokens(*added: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda written: written["added_tokens"].extend(
        numbered([_PLAIN | each for each in added], 503)
    )


OTHERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "numbers in threes": (pattern(r"|\p{N}|", r"|\p{N}{1,3}|"), "rule is none of"),
    "marks are letters": (pattern(r"]?\p{L}+", r"]?[\p{L}\p{M}]+"), "rule is none of"),
    "small letters alone": (pattern("(?i:'s", "(?:'s"), "rule is none of"),
    "otherwise joined": (first_step(behavior="MergedWithNext"), "rule is none of"),
    "whole words": (lambda written: written["model"].update(ignore_merges=True), "none of"),
    "NFKC": (lambda written: written.update(normalizer={"type": "NFKC"}), "rewrites text .NFKC"),
    "NFD": (lambda written: written.update(normalizer={"type": "NFD"}), "rewrites text .NFD"),
    "chance": (lambda written: written["model"].update(dropout=0.1), "not byte-level BPE"),
    "single bytes": (lambda written: written["model"].update(byte_fallback=True), "not byte-level"),
    "blanks beside a token": (first_token(rstrip=True), "takes spaces beside it"),
    "words that are tokens": (first_token(single_word=True), "takes spaces beside it"),
    "tokens that meet": (tokens({"content": "ab"}, {"content": "bc"}), "may share letters"),
    "runs of a letter": (tokens({"content": "  "}, {"content": "   "}), "may share letters"),
    "a token in a later one": (
        tokens({"content": "b"}, {"content": "abc", "normalized": True}),
        "may share letters",
    ),
    "a token in parts": (tokens({"content": "e\u0323", "normalized": True}), "not composed"),
}


@pytest.mark.parametrize("fault", OTHERS)
def test_other_rules_are_refused(fault: str, base: Path) -> None:
    edit, reason = OTHERS[fault]
    path = base / "tokenizer.json"
    before = path.read_text(encoding="utf-8")
    edited(base, edit)
    try:
        with pytest.raises(ModelError, match=reason) as caught:
            pre_tokenizer_of(load_tokenizer(str(base)))
    finally:
        path.write_text(before, encoding="utf-8")
    assert "--to merged" in str(caught.value)


def test_vocabularies_of_other_kinds_are_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    with pytest.raises(ModelError, match="of the kind WordLevel"):
        pre_tokenizer_of(PreTrainedTokenizerFast(tokenizer_object=backend))
