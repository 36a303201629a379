"""The mask handed to every layer is the layout's rule."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig

from lexitrain.batching.query_blocks import Tiles
from lexitrain.errors import DeviceError
from lexitrain.models import why_not_in_tiles
from lexitrain.recipe.schema import StepSection
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


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("length", [130, 256, 300, 640])
def test_tiles_listed_ahead_are_those_that_the_device_would_find(length: int):
    reach = random_reach(length)
    found = tuple(torch.from_numpy(each).int() for each in Tiles.of(reach.numpy()).tables())
    mask = block_mask(reach, tiles=found)
    assert torch.equal(mask.to_dense(), block_mask(reach).to_dense())
    query, key, value = torch.randn(3, 2, 4, length, 16, generator=torch.manual_seed(3))
    dense = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask(reach, query.dtype)
    )
    assert torch.allclose(dense, flex_attention(query, key, value, block_mask=mask), atol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_long_prompts_have_whole_tiles_which_need_no_rule():
    """A tile is whole when each of its queries sees each of its keys, by every pair of them."""
    reach = torch.full((1, 700), 700)
    reach[0, 600:650] = 650
    tiles = Tiles.of(reach.numpy())
    column = torch.arange(700)
    seen = (column[None, :] <= column[:, None]) & (column[:, None] < reach[0][None, :])
    for query in range(6):
        for key in range(6):
            part = seen[128 * query : 128 * (query + 1), 128 * key : 128 * (key + 1)]
            assert tiles.seen[0, query, key] == bool(part.any())
            assert tiles.whole[0, query, key] == (key < query and bool(part.all()))
    assert tiles.whole.sum() > 6


def test_a_gpu_without_flex_attention_is_told_and_a_recipe_that_names_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    from lexitrain.step import attention as module

    config = LlamaConfig(hidden_size=32, num_attention_heads=4, num_key_value_heads=2)
    notes: list[str] = []
    head = torch.zeros(1)
    monkeypatch.setattr(module, "why_not_in_tiles", lambda *_: None)
    assert module.flex_or_dense(StepSection(), config, head, notes) == "flex"
    assert not notes
    monkeypatch.setattr(module, "why_not_in_tiles", lambda *_: "no C compiler")
    assert module.flex_or_dense(StepSection(), config, head, notes) == "dense"
    assert "no C compiler" in notes[0]
    with pytest.raises(DeviceError, match="no C compiler"):
        module.flex_or_dense(StepSection(attention="flex"), config, head, notes)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_probe_compares_with_plain_attention(monkeypatch: pytest.MonkeyPatch):
    """On a CPU, uncompiled: what is compared is the same there."""
    from lexitrain.models.attention import flex as module

    cpu = torch.device("cpu")
    assert why_not_in_tiles(cpu, torch.float32, 4, 2, 16) is None
    attend = module.attend_in_tiles
    monkeypatch.setattr(module, "attend_in_tiles", lambda *each: attend(*each) * 1.5)
    assert "other numbers" in str(why_not_in_tiles(cpu, torch.float32, 4, 2, 16))

    def failing(*_: object) -> None:
        raise RuntimeError("no Triton\nmore")

    monkeypatch.setattr(module, "attend_in_tiles", failing)
    assert why_not_in_tiles(cpu, torch.float32, 4, 4, 16) == "RuntimeError: no Triton"
