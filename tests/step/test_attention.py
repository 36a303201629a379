"""The mask handed to every layer is the layout's rule."""

from __future__ import annotations

import torch

from lexitrain.step.attention import attention_mask


def test_the_mask_is_the_rule():
    reach = torch.tensor([[5, 3, 3, 5, 5, 6], [2, 2, 3, 6, 6, 6]])
    mask = attention_mask(reach, torch.float32)
    assert mask.shape == (2, 1, 6, 6)
    for row in range(2):
        for query in range(6):
            for key in range(6):
                seen = key <= query < reach[row, key]
                assert mask[row, 0, query, key].item() == (0.0 if seen else float("-inf"))


def test_the_mask_has_the_dtype_of_the_queries():
    assert attention_mask(torch.tensor([[1, 2]]), torch.bfloat16).dtype is torch.bfloat16
