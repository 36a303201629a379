"""Real corpora and the real Qwen vocabulary for tests; a test that needs them skips where they are absent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks.mixture import REAL_DATA
from benchmarks.qwen_vocabulary import qwen_tokenizer as build_qwen_tokenizer
from benchmarks.qwen_vocabulary import vocabulary_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def real_data() -> Path:
    """The folder of the real corpora; skips the test where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real corpora (../shared/data/real) are not here")
    return REAL_DATA


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """The real Qwen vocabulary with ChatML; skips the test where dashscope is not installed."""
    if vocabulary_file() is None:
        pytest.skip("dashscope, which carries the Qwen vocabulary, is not installed")
    return build_qwen_tokenizer()
