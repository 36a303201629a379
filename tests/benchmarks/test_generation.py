"""The check of the benchmark: answers that differ, and whether by a tie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.generation import differences
from tests.evaluation.generation.test_continuations import STOP, prompts
from tests.tiny import tiny_model, tiny_tokenizer

from lexitrain.evaluation.generation import generate


def test_a_tie_is_told_from_another_answer() -> None:
    model, given = tiny_model(seed=3), prompts(3, 4)
    answers = [said.tokens for (said,) in generate(model, tiny_tokenizer(), given, 5, STOP)]
    with torch.inference_mode():
        (last,) = (model(input_ids=torch.from_numpy(given[1]).long()[None]).logits[0, -1],)
    best, second = last.topk(2).indices.tolist()
    assert answers[1][0] == best
    other = [answers[0], [second], answers[2]]
    found = differences(model, given, answers, other, 402)
    assert found.equal == 2
    assert found.ties == [pytest.approx(float(last[best] - last[second]), rel=1e-4)]
    shorter = differences(model, given, answers, [answers[0][:2], *answers[1:]], 402)
    assert (shorter.equal, len(shorter.ties)) == (2, 1)
    assert shorter.worst > 0
    assert differences(model, given, answers, answers, 402).worst == 0.0
    assert np.all([len(answer) for answer in answers])
