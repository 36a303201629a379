from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lexitrain.evaluation import generation
from tests.tiny import tiny_model, tiny_tokenizer

STOP = {402}


def generate(*given: Any, **options: Any) -> list[list[int]]:
    """The tokens of the only continuation of each prompt."""
    return [said.tokens for (said,) in generation.generate(*given, **options)]


def prompts(count: int, shared: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    prefix = generator.integers(0, 390, shared)
    return [
        np.concatenate([prefix, generator.integers(0, 390, generator.integers(1, 14))]).astype(
            np.int32
        )
        for _ in range(count)
    ]


def one_by_one(model: torch.nn.Module, prompt: np.ndarray, maximum: int) -> list[int]:
    """The plainest greedy loop: the whole sequence anew for each token, no cache."""
    tokens = [int(token) for token in prompt]
    with torch.no_grad():
        for _ in range(maximum):
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] in STOP:
                return tokens[len(prompt) : -1]
    return tokens[len(prompt) :]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A random model whose output is biased to stop now and then."""
    tiny = tiny_model(seed=3)
    tiny.lm_head.weight.data = tiny.lm_head.weight.data.clone()
    tiny.lm_head.weight.data[402] *= 2.2
    return tiny


@pytest.mark.parametrize("shared", [0, 1, 20])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_batch_gives_the_tokens_of_one_at_a_time(
    model: torch.nn.Module, shared: int, batch_size: int
):
    given = prompts(16, shared, seed=shared)
    expected = [one_by_one(model, prompt, 12) for prompt in given]
    lengths = {len(answer) for answer in expected}
    assert len(lengths) > 3  # some stop early, some late, some not at all
    assert 12 in lengths
    counted: list[int] = []
    answers = generate(
        model,
        tiny_tokenizer(),
        given,
        12,
        STOP,
        batch_size=batch_size,
        progress=counted.append,
    )
    assert answers == expected
    assert sum(counted) == len(given)


def test_equal_prompts_and_a_single_one(model: torch.nn.Module):
    prompt = prompts(1, 5)[0]
    expected = one_by_one(model, prompt, 6)
    assert generate(model, tiny_tokenizer(), [prompt] * 3, 6, STOP) == [expected] * 3
    assert generate(model, tiny_tokenizer(), [prompt], 6, STOP) == [expected]
    assert generate(model, tiny_tokenizer(), [prompt[:1]], 6, STOP) == [
        one_by_one(model, prompt[:1], 6)
    ]


def test_nothing_to_do(model: torch.nn.Module):
    assert generate(model, tiny_tokenizer(), [], 5, STOP) == []
    assert generate(model, tiny_tokenizer(), prompts(2, 3), 0, STOP) == [[], []]


def test_the_shared_beginning_runs_through_the_model_once(model: torch.nn.Module):
    seen: list[tuple[int, int]] = []
    hook = model.register_forward_pre_hook(
        lambda _module, _args, options: seen.append(tuple(options["input_ids"].shape)),
        with_kwargs=True,
    )
    try:
        generate(model, tiny_tokenizer(), prompts(9, 30), 1, STOP, batch_size=3)
    finally:
        hook.remove()
    assert seen[0] == (1, 30)
    assert [rows for rows, _ in seen[1:]] == [3, 3, 3]
    assert all(tokens < 14 for _, tokens in seen[1:])


def test_training_mode_comes_back(model: torch.nn.Module):
    model.train()
    generate(model, tiny_tokenizer(), prompts(2, 3), 2, STOP)
    assert model.training
    model.eval()
