"""What llama.cpp is asked besides chats, against the model itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lexitrain.models import load_base
from lexitrain.serving import LlamaServer, applied_template, completion, tokenized
from tests.exported import NANO, nano_tokenizer
from tests.serving.served import ASKED


@pytest.fixture(scope="module")
def server(nano_file: Path) -> Iterator[LlamaServer]:
    with LlamaServer(nano_file, slots=1, context=512, threads=1) as started:
        yield started


def greedy(tokens: list[int], most: int) -> list[int]:
    """What the model itself goes on with."""
    model = load_base(NANO, device="cpu", dtype=torch.float32)
    end = nano_tokenizer().convert_tokens_to_ids("<|im_end|>")
    given = torch.tensor([tokens])
    said = model.generate(given, max_new_tokens=most, do_sample=False, eos_token_id=end)
    return said[0][len(tokens) :].tolist()


@pytest.mark.parametrize("text", ["She go to school.", "Tôi đi học.", "cat", '{"corrected":"'])
def test_at_temperature_0_the_likeliest_token_comes_each_time(
    server: LlamaServer, text: str
) -> None:
    tokens = tokenized(server, applied_template(server, [{"role": "user", "content": text}]))
    expected = greedy(tokens, 30)
    for seed in range(4):
        found = completion(server, tokens, most_tokens=30, seed=seed)
        assert list(found.tokens) == expected[: len(found.tokens)]
        assert len(found.tokens) >= len(expected) - 1
        assert found.finished == (len(expected) < 30)


def test_above_it_is_drawn_by_seed(server: LlamaServer) -> None:
    tokens = tokenized(server, applied_template(server, ASKED))
    said = [
        completion(server, tokens, most_tokens=20, temperature=2, seed=n).text for n in (1, 1, 2)
    ]
    assert said[0] == said[1] != said[2]


def test_tokens_are_those_of_the_tokenizer(server: LlamaServer) -> None:
    tokenizer = nano_tokenizer()
    for text in ("She go <|im_end|> home", "Tôi đi học", "a\n\n  b", "😀", ""):
        assert tokenized(server, text) == tokenizer.encode(text, add_special_tokens=False)
    assert len(tokenized(server, "<|im_end|>", special=False)) > 1
