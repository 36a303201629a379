"""Answers that are drawn: by what they are decided, and that they follow the model's probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from lexitrain.errors import InputError, ModelError
from lexitrain.evaluation.generation import Decoding, generate
from lexitrain.evaluation.generation.picking import Choice, Picker
from tests.evaluation.generation.test_continuations import STOP, prompts
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return tiny_model(seed=3)


def drawn(model: Any, given: Any, decoding: Decoding, **options: Any) -> list[list[Any]]:
    return generate(model, tiny_tokenizer(), given, 10, STOP, decoding=decoding, **options)


def test_a_sample_depends_on_seed_prompt_and_number_alone(model: torch.nn.Module) -> None:
    given, decoding = prompts(12, 6), Decoding(1.3, 3, seed=4)
    found = drawn(model, given, decoding)
    assert [len(each) for each in found] == [3] * 12
    for batch_size in (1, 5):
        assert drawn(model, given, decoding, batch_size=batch_size) == found
    assert drawn(model, given[::-1], decoding)[::-1] == found
    assert drawn(model, given[3:5], decoding) == found[3:5]  # with another shared beginning
    assert [each[:1] for each in found] == drawn(model, given, Decoding(1.3, 1, seed=4))
    longer = generate(model, tiny_tokenizer(), given, 14, STOP, decoding=decoding)
    assert [[said.tokens[:10] for said in each] for each in longer] == [
        [said.tokens for said in each] for each in found
    ]


def test_samples_seeds_and_prompts_draw_differently(model: torch.nn.Module) -> None:
    given = prompts(6, 6)
    found = drawn(model, given, Decoding(2.0, 4, seed=1))
    assert all(len({tuple(said.tokens) for said in each}) == 4 for each in found)
    assert drawn(model, given, Decoding(2.0, 4, seed=2)) != found
    numbers = {float(Decoding(1.0).draws(prompt, 0, 1)[0]) for prompt in given}
    assert len(numbers) == 6


def test_the_numbers_are_those_of_philox_for_ever() -> None:
    """They are part of what a saved evaluation means: another version must draw the same."""
    draws = Decoding(1.0, seed=7).draws(np.array([1, 2, 3], np.int32), 2, 4)
    assert draws.tolist() == PINNED
    assert Decoding(1.0, seed=7).draws(np.array([1, 2, 3], np.int64), 2, 9)[:4].tolist() == PINNED
    many = Decoding(1.0).draws(np.array([5], np.int32), 0, 100_000)
    assert 0.0 <= many.min() < many.max() < 1.0
    assert abs(many.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 100_000)


def pick(logits: torch.Tensor, temperature: float, draws: torch.Tensor) -> torch.Tensor:
    choice = Choice(1, set(), temperature, draws[:, None])
    return Picker(choice, range(len(draws)), "cpu").pick(logits.expand(len(draws), -1))[0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_token_of_the_whole_batch_is_one_wait(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these makes the host wait until a GPU has computed all that was started."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(9, 4, generator=generator, dtype=torch.float64) if temperature else None
    picker = Picker(Choice(4, {0, 1, 2, 3}, temperature, draws), range(9), "cpu")
    waits: list[str] = []
    for name in ("tolist", "item", "nonzero", "cpu", "numpy", "__bool__", "__index__", "__int__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda *given, _name=name, _real=real, **more: (
                waits.append(_name) or _real(*given, **more)
            ),
        )
    ended = 0
    for _ in range(3):
        ended += picker.pick(torch.randn(9, 12, generator=generator))[1]
    assert waits == ["tolist"] * 3
    assert ended == sum(picker.ended) > 0
    assert len(picker.keep()) == len(picker.going) == 9 - ended


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_come_as_often_as_the_model_finds_them_likely(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 12, generator=generator) * 2
    logits[0, 5] = -torch.inf
    count = 40_000
    tokens = pick(logits, temperature, torch.rand(count, generator=generator, dtype=torch.float64))
    shares = torch.bincount(tokens, minlength=12) / count
    expected = (logits[0].double() / temperature).softmax(0)
    assert (shares - expected).abs().max() < 5 * math.sqrt(0.25 / count)
    assert shares[5] == 0


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_draws_at_the_ends_give_tokens_that_can_come(draw: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]])
    token = int(pick(logits, 1.0, torch.tensor([draw], dtype=torch.float64)))
    assert token == (1 if draw == 0 else 2)


@pytest.mark.parametrize("temperature", [1e-300, 1e-6])
def test_hardly_any_temperature_is_the_most_likely_token(temperature: float) -> None:
    logits = torch.tensor([[0.5, 0.7, 0.6]])
    assert (
        pick(logits, temperature, torch.linspace(0, 0.999, 9, dtype=torch.float64)).tolist()
        == [1] * 9
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_whose_output_is_no_number_is_refused(temperature: float) -> None:
    broken = tiny_model(seed=1)
    broken.lm_head.weight.data = broken.lm_head.weight.data.clone()
    broken.lm_head.weight.data[3] = torch.nan
    with pytest.raises(ModelError, match="not a number"):
        drawn(broken, prompts(2, 3), Decoding(temperature))


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"temperature": -0.1}, "--temperature"),
        ({"temperature": math.nan}, "--temperature"),
        ({"temperature": math.inf}, "--temperature"),
        ({"temperature": 1.0, "samples": 0}, "--samples"),
        ({"samples": 2}, "--samples"),
        ({"temperature": 1.0, "seed": -1}, "--seed"),
    ],
)
def test_what_cannot_be_decoded_is_refused(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as error:
        Decoding(**wrong)
    assert error.value.where == where
    assert error.value.fix


def test_the_label_tells_decodings_apart() -> None:
    assert Decoding().label == Decoding(seed=5).label == ""
    assert Decoding(json_schema=True).label == "schema"
    assert Decoding(0.7, 5, 1, True).label == "t0.7-n5-seed1-schema"


PINNED = [0.5122805178616848, 0.03944197475875755, 0.08175255545893423, 0.9320761177375239]
