"""Distances between distributions, against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax

from lexitrain.errors import ModelError
from lexitrain.exporting.verification.distributions import Distances, answer_positions
from lexitrain.samples import Sample


def test_they_are_those_of_scipy_whatever_the_parts() -> None:
    draw = np.random.default_rng(1)
    p, q = draw.normal(size=(2, 40, 30)).astype(np.float32) * 3
    targets = draw.integers(0, 30, 40)
    found = Distances()
    for part in (slice(0, 7), slice(7, 40)):
        found.add(*(torch.from_numpy(each[part]) for each in (p, q, targets)))
    told = found.to_json()
    kls = rel_entr(softmax(p.astype(float), -1), softmax(q.astype(float), -1)).sum(-1)
    assert told["positions"] == 40
    assert told["mean_kl"] == pytest.approx(kls.mean(), rel=1e-6)
    assert told["largest_kl"] == pytest.approx(kls.max(), rel=1e-6)
    assert told["top_1"] == (p.argmax(-1) == q.argmax(-1)).mean()
    for side, logits in (("adapter", p), ("file", q)):
        losses = -log_softmax(logits.astype(float), -1)[np.arange(40), targets]
        assert told["perplexity"][side] == pytest.approx(math.exp(losses.mean()), rel=1e-6)
    assert told["largest_logit_difference"] == pytest.approx(np.abs(p - q).max())


def test_equal_distributions_are_no_way_apart() -> None:
    logits = torch.randn(5, 9)
    found = Distances()
    found.add(
        logits, logits + 3.0, torch.zeros(5, dtype=torch.int64)
    )  # softmax does not see a constant
    assert found.kl == pytest.approx(0.0, abs=1e-9)
    assert found.agreeing == 5


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_is_refused(wrong: float) -> None:
    logits = torch.zeros(2, 3)
    broken = logits.clone()
    broken[1, 2] = wrong
    with pytest.raises(ModelError, match="not a number"):
        Distances().add(logits, broken, torch.zeros(2, dtype=torch.int64))


def test_positions_are_those_that_predict_the_answer() -> None:
    sample = Sample(
        np.array([5, 6, 7], dtype=np.int32),
        np.array([8, 9, 10, 11], dtype=np.int32),
        np.array([True, True, False, True]),
        "grammar",
        0,
    )
    places, targets = answer_positions(sample)
    assert places.tolist() == [2, 3, 5]
    assert targets.tolist() == [8, 9, 11]
