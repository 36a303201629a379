"""Greedy answers of a batch of prompts against transformers' generation, one prompt at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from lexitrain.evaluation.generation import generate
from tests.bases.families import FAMILIES, VOCABULARY, adapted_base

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code

STOP = 5
TOKENS = 14


class Tokenizer:
    pad_token_id = 0


def prompts() -> list[np.ndarray]:
    """With a shared beginning longer than the window, and of four lengths."""
    random = np.random.default_rng(11)
    shared = random.integers(6, VOCABULARY, 8)
    own = [random.integers(6, VOCABULARY, length) for length in (1, 4, 9, 2, 9)]
    return [np.concatenate([shared, each]).astype(np.int32) for each in own]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_batch_answers_like_one_prompt_at_a_time(family: str):
    plain = adapted_base(family, own_attention=True)
    plain.get_base_model().generation_config = GenerationConfig()
    wanted: list[list[int]] = []
    for prompt in prompts():
        tokens = torch.from_numpy(prompt).long()[None]
        found = plain.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=STOP,
            pad_token_id=0,
        )
        answer = found[0, len(prompt) :].tolist()
        wanted.append(answer[: answer.index(STOP)] if STOP in answer else answer)
    found = generate(adapted_base(family), Tokenizer(), prompts(), TOKENS, {STOP}, batch_size=4)
    assert [each.tokens for (each,) in found] == wanted


def test_only_positions_that_depend_on_the_batch_end_the_batch(monkeypatch):
    """A long answer of a base with plain rotary positions is asked for together with the others."""
    from lexitrain.evaluation.generation import continuations

    def refuse(*_: object) -> None:
        raise AssertionError("asked one by one")

    monkeypatch.setattr(continuations, "one_by_one", refuse)
    model = adapted_base("llama")
    assert model.config.max_position_embeddings < 200
    assert len(generate(model, Tokenizer(), prompts(), 200, {STOP}, batch_size=4)) == 5
    model.get_base_model().config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0}
    with pytest.raises(AssertionError, match="asked one by one"):
        generate(model, Tokenizer(), prompts(), 200, {STOP}, batch_size=4)
