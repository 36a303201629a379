"""Each split rule that is named is the one that llama.cpp then follows; others are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from tests.exporting.small_bases import RULES, save_base, tokenizer_of, vietnamese
from tests.said import said

from lexitrain import export
from lexitrain.errors import ModelError
from lexitrain.exporting.gguf.pre_tokenizers import pre_tokenizer_of
from lexitrain.models import load_tokenizer
from lexitrain.serving import LlamaServer, tokenized


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
def test_vietnamese_becomes_the_same_tokens_by_each_rule(rule: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "llama", rule=rule)
    report = export(base, ["gguf"], quantize=["F16"], out=tmp_path / "out")
    assert other_tokens(base, report.files[0].path, vietnamese(1000, seed=len(rule))) == []
