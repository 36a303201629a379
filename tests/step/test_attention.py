"""The mask handed to every layer is the layout's rule."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention

from lexitrain.step.attention import attention_mask, block_mask


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


def random_reach(length: int) -> torch.Tensor:
    """Two rows of subtrees: each position reaches itself, and not beyond the subtree it is in."""
    generator = torch.Generator().manual_seed(1)
    rows = []
    for _ in range(2):
        reach, path = [0] * length, []
        for column in range(length):
            depth = int(torch.randint(0, len(path) + 1, (), generator=generator))
            for closed in path[depth:]:
                reach[closed] = column
            path = [*path[:depth], column]
        for closed in path:
            reach[closed] = length
        rows.append(reach)
    return torch.tensor(rows)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_block_mask_of_flex_attention_is_the_same_rule():
    """Its forward pass, uncompiled, on a CPU; the backward pass needs a GPU."""
    length, generator = 300, torch.Generator().manual_seed(2)
    reach = random_reach(length)
    query = torch.randn(2, 4, length, 16, generator=generator)
    key, value = torch.randn(2, 2, 2, length, 16, generator=generator)
    dense = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask(reach, query.dtype), enable_gqa=True
    )
    flex = flex_attention(query, key, value, block_mask=block_mask(reach), enable_gqa=True)
    assert torch.allclose(dense, flex, atol=1e-5)


def depths_of(reach: torch.Tensor) -> torch.Tensor:
    """How many positions before each one its path holds."""
    rows, length = reach.shape
    depth = torch.zeros_like(reach)
    for row in range(rows):
        for column in range(length):
            depth[row, column] = sum(int(reach[row, k]) > column for k in range(column))
    return depth


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [1, 3, 17, 1000])
def test_a_window_counts_along_the_path_in_both_masks(window: int):
    length, generator = 60, torch.Generator().manual_seed(3)
    reach = random_reach(length)
    depth = depths_of(reach)
    mask = attention_mask(reach, torch.float32, depth, window)
    for row in range(2):
        for query in range(length):
            for key in range(length):
                near = depth[row, query] - depth[row, key] < window
                seen = key <= query < reach[row, key] and near
                assert mask[row, 0, query, key].item() == (0.0 if seen else float("-inf"))
    query = torch.randn(2, 4, length, 16, generator=generator)
    key, value = torch.randn(2, 2, 2, length, 16, generator=generator)
    dense = scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    rule = block_mask(reach, depth, window)
    flex = flex_attention(query, key, value, block_mask=rule, enable_gqa=True)
    assert torch.allclose(dense, flex, atol=1e-5)
