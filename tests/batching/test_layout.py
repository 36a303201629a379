"""The prefix tree against the plain meaning of its rule: a token sees its own sample's tokens up to itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.batching import query_blocks as blocks_module
from lexitrain.batching.cuts import CutCost
from lexitrain.batching.layout import LayoutName, lay_out, step_tokens
from lexitrain.batching.micro_batch import IGNORED, MicroBatch
from lexitrain.errors import InputError
from lexitrain.samples.sample import Sample

PAD = 99
MAX_LENGTH = 24


def make_sample(prompt: Sequence[int], completion: Sequence[int], supervised: Sequence[bool] = ()):
    return Sample(
        prompt_ids=np.array(prompt, dtype=np.int32),
        completion_ids=np.array(completion, dtype=np.int32),
        supervised=np.array(supervised or [True] * len(completion)),
        task="grammar",
        index=0,
    )


# Three tokens only, so that prompts often begin alike, contain each other or are equal.
TOKENS = st.integers(0, 2)


@st.composite
def any_sample(draw: st.DrawFn) -> Sample:
    prompt = draw(st.lists(TOKENS, min_size=1, max_size=8))
    completion = draw(st.lists(TOKENS, min_size=1, max_size=5))
    supervised = draw(st.lists(st.booleans(), min_size=len(completion), max_size=len(completion)))
    return make_sample(prompt, completion, supervised)


SAMPLES = st.lists(any_sample(), min_size=1, max_size=9)
LAYOUTS = st.sampled_from(["tree", "packed", "padded"])
BUDGETS = st.none() | st.integers(1, 60)
COSTS = st.builds(CutCost, pair=st.floats(0, 0.5), floor=st.floats(0, 40))


def cut(samples: Sequence[Sample], layout: LayoutName = "tree", **options) -> list[MicroBatch]:
    arguments = {"loss": "completion", "max_length": MAX_LENGTH, "pad_id": PAD} | options
    return lay_out(samples, layout=layout, **arguments)


def tokens_of(sample: Sample) -> list[int]:
    return [*sample.prompt_ids.tolist(), *sample.completion_ids.tolist()]


def visible(batch: MicroBatch, row: int) -> np.ndarray:
    """[query, key]: who sees whom by the rule `k <= q < reach[k]`."""
    columns = np.arange(batch.tokens.shape[1])
    query, key = columns[:, None], columns[None, :]
    return (key <= query) & (query < batch.reach[row][None, :])


def scored(batch: MicroBatch) -> list[tuple[int, int, int]]:
    """(sample, flat position, label) of everything that enters the loss."""
    found = zip(batch.sample.tolist(), batch.predict.tolist(), batch.labels.tolist(), strict=True)
    return [entry for entry in found if entry[2] != IGNORED]


@settings(max_examples=200, deadline=None)
@given(SAMPLES, LAYOUTS, BUDGETS, COSTS, st.sampled_from([1, 4]))
def test_each_supervised_token_sees_exactly_its_own_samples_past(
    samples: list[Sample], layout: LayoutName, budget: int | None, cost: CutCost, bucket: int
):
    """The oracle knows nothing of trees: a position that predicts token d of a sample must see, in order, that
    sample's tokens 0..d-1 at positions 0..d-1 and nothing else, and each supervised token is predicted once."""
    batches = cut(samples, layout, token_budget=budget, cost=cost, bucket=bucket)
    met: list[tuple[int, int]] = []
    for batch in batches:
        length = batch.tokens.shape[1]
        for index, flat, label in scored(batch):
            row, column = divmod(flat, length)
            seen = np.flatnonzero(visible(batch, row)[column])
            depth = len(seen)
            expected = tokens_of(samples[index])
            assert batch.tokens[row, seen].tolist() == expected[:depth]
            assert batch.positions[row, seen].tolist() == list(range(depth))
            assert label == expected[depth]
            met.append((index, depth))
    wanted = [
        (index, len(sample.prompt_ids) + place)
        for index, sample in enumerate(samples)
        for place in np.flatnonzero(sample.supervised).tolist()
    ]
    assert sorted(met) == sorted(wanted)


@settings(max_examples=200, deadline=None)
@given(
    SAMPLES,
    st.sampled_from(["tree", "packed"]),
    BUDGETS,
    st.integers(1, 12),
    st.floats(0, 60),
    st.floats(0, 9),
)
def test_blocks_hold_every_query_once_and_all_that_it_sees(
    samples: list[Sample],
    layout: LayoutName,
    budget: int | None,
    wide: int,
    call: float,
    merge: float,
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "_WIDE", wide)
        patch.setattr(blocks_module, "_CALL", call)
        patch.setattr(blocks_module, "_MERGE", merge)
        batches = cut(samples, layout, token_budget=budget, bucket=4, blocks=True)
    for batch in batches:
        mask = visible(batch, 0)
        borders = [0, *(block.end for block in batch.blocks)]
        assert [block.start for block in batch.blocks] == borders[:-1]
        assert borders[-1] == batch.tokens.shape[1]
        for block in batch.blocks:
            assert (np.diff(block.columns) > 0).all()
            own = np.arange(block.start, block.end)
            assert block.columns[-block.queries :].tolist() == own.tolist()
            inside = np.isin(np.arange(mask.shape[1]), block.columns)
            if block.start >= batch.trunk:
                assert not inside[: batch.trunk].any()
                inside[: batch.trunk] = True
                assert mask[block.start : block.end, : batch.trunk].all()
            assert not mask[block.start : block.end, ~inside].any()
        assert batch.cells <= mask.size


NO_FLOOR = CutCost(floor=0)


def test_by_blocks_a_long_shared_prompt_is_not_worth_a_cut():
    """A dense mask would be cut; by blocks a second cut would only repeat the prompt."""
    samples = [make_sample([7] * 200 + [10 + i] * 40, [3] * 20) for i in range(24)]
    assert len(cut(samples, max_length=2000, cost=NO_FLOOR)) > 1
    (batch,) = cut(samples, max_length=2000, cost=NO_FLOOR, blocks=True)
    assert batch.cells < 0.55 * batch.tokens.size**2


def test_by_blocks_short_cuts_are_taken_where_they_cost_little_more():
    """The activations of one row for all samples take the most memory."""
    samples = [make_sample([7] * 20 + [10 + i] * 60, [3] * 20) for i in range(24)]

    def total(batches: list[MicroBatch]) -> float:
        return sum(
            float(NO_FLOOR.of(np.array([float(b.layout_tokens)]), np.array([float(b.cells)]))[0])
            for b in batches
        )

    (row,) = cut(samples, token_budget=10_000, cost=NO_FLOOR, blocks=True)
    short = cut(samples, cost=NO_FLOOR, blocks=True)
    assert len(short) > 2
    assert max(batch.layout_tokens for batch in short) <= 576 < row.layout_tokens
    assert total(short) <= 1.1 * total([row])


def test_by_blocks_the_more_is_shared_the_longer_the_cuts():
    """Each cut repeats what is shared."""

    def longest(shared: int) -> int:
        samples = [make_sample([7] * shared + [10 + i] * 60, [3] * 20) for i in range(24)]
        batches = cut(samples, max_length=2000, cost=NO_FLOOR, blocks=True)
        return max(batch.layout_tokens for batch in batches)

    assert longest(20) <= 576 < longest(75) <= 768 < longest(110) <= 1536 < longest(250)


def test_by_blocks_cuts_are_not_shorter_than_the_longest_sample():
    """It needs its memory in any case, and shorter ones would only cost more."""
    samples = [make_sample([10 + i] * 60, [3] * 20) for i in range(24)]
    samples.append(make_sample([9] * 680, [3] * 20))
    usual = cut(samples, max_length=2000, cost=NO_FLOOR, blocks=True)
    under = cut(samples, max_length=2000, cost=NO_FLOOR, blocks=True, token_budget=700)
    assert [b.layout_tokens for b in usual] == [b.layout_tokens for b in under]
    assert max(batch.layout_tokens for batch in usual) == 700


def test_a_long_beginning_that_all_share_becomes_the_trunk():
    """A short one does not: putting halves of a softmax together costs more than it saves."""
    for shared, trunk in ((600, 600), (4, 0)):
        samples = [make_sample([7] * shared + [10 + i] * 40, [3] * 20) for i in range(24)]
        (batch,) = cut(samples, token_budget=3000, cost=NO_FLOOR, blocks=True)
        assert batch.trunk == trunk


def brute_force_paths(samples: Sequence[Sample]) -> list[list[int]]:
    """Root-to-node tokens of a tree built the slow way, a shared one once, a private one for its sample."""
    shared: set[tuple[int, ...]] = set()
    private: list[list[int]] = []
    for sample in samples:
        tokens = tokens_of(sample)
        last_of_prompt = len(sample.prompt_ids) - 1
        shared |= {tuple(tokens[: depth + 1]) for depth in range(last_of_prompt)}
        private += [tokens[: depth + 1] for depth in range(last_of_prompt, len(tokens))]
    return sorted([*map(list, shared), *private])


@settings(max_examples=200, deadline=None)
@given(SAMPLES, LAYOUTS)
def test_every_position_sees_its_path_and_nothing_else(samples: list[Sample], layout: LayoutName):
    """Also the unsupervised ones: what a position sees is its root-to-node path, in order, itself last."""
    (batch,) = cut(samples, layout, micro_batch=len(samples))
    paths: list[list[int]] = []
    for row in range(len(batch.tokens)):
        mask = visible(batch, row)
        for column in np.flatnonzero(batch.tokens[row] != PAD).tolist():
            seen = np.flatnonzero(mask[column])
            assert seen[-1] == column
            assert batch.positions[row, seen].tolist() == list(range(len(seen)))
            paths.append(batch.tokens[row, seen].tolist())
    if layout == "tree":
        assert sorted(paths) == brute_force_paths(samples)
    else:
        alone = [path for sample in samples for path in brute_force_paths([sample])]
        assert sorted(paths) == sorted(alone)


@settings(max_examples=200, deadline=None)
@given(SAMPLES, BUDGETS, COSTS)
def test_the_budget_is_kept_and_layouts_only_save(
    samples: list[Sample], budget: int | None, cost: CutCost
):
    for layout in ("tree", "packed"):
        for batch in cut(samples, layout, token_budget=budget, cost=cost):
            alone = len(set(batch.sample.tolist())) <= 1
            assert budget is None or batch.layout_tokens <= budget or alone
    tree, packed, padded = (step_tokens(samples, name, MAX_LENGTH) for name in LAYOUT_NAMES)
    assert tree <= packed <= padded
    for layout, tokens in zip(LAYOUT_NAMES, (tree, packed, padded), strict=True):
        whole = cut(samples, layout, micro_batch=len(samples))
        assert [batch.layout_tokens for batch in whole] == [tokens]


LAYOUT_NAMES: tuple[LayoutName, ...] = ("tree", "packed", "padded")


def all_cuts(count: int) -> list[list[int]]:
    """Exclusive ends of every way to cut `count` samples into contiguous groups."""
    return [
        [place for place in range(1, count) if bits >> (place - 1) & 1] + [count]
        for bits in range(2 ** (count - 1))
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(any_sample(), min_size=1, max_size=6), st.integers(6, 60), COSTS)
def test_cuts_are_the_cheapest_of_all(samples: list[Sample], budget: int, cost: CutCost):
    def price(lengths: Sequence[int]) -> float:
        tokens = np.array(lengths, dtype=np.float64)
        return float(cost.of(tokens, tokens**2).sum())

    in_order = sorted(samples, key=lambda s: s.prompt_ids[:-1].tolist())
    prices: list[float] = []
    for ends in all_cuts(len(samples)):
        groups = [in_order[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        sizes = [step_tokens(group, "tree", MAX_LENGTH) for group in groups]
        fits = all(s <= budget or len(g) == 1 for s, g in zip(sizes, groups, strict=True))
        if fits:
            prices.append(price(sizes))
    chosen = [b.layout_tokens for b in cut(samples, token_budget=budget, cost=cost)]
    assert price(chosen) == pytest.approx(min(prices))


def test_a_shared_prompt_is_laid_out_once():
    samples = [make_sample([1, 2, 3, 4], [7, 8]), make_sample([1, 2, 3, 5], [9])]
    (batch,) = cut(samples)
    assert batch.tokens.tolist() == [[1, 2, 3, 4, 7, 8, 5, 9]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4]]
    assert batch.reach.tolist() == [[8, 8, 8, 6, 6, 6, 8, 8]]
    assert batch.predict.tolist() == [3, 4, 6]
    assert batch.labels.tolist() == [7, 8, 9]
    assert batch.sample.tolist() == [0, 0, 1]


def test_equal_prompts_keep_their_last_token_apart():
    samples = [make_sample([1, 2, 3], [7]), make_sample([1, 2, 3], [8])]
    (batch,) = cut(samples)
    assert batch.tokens.tolist() == [[1, 2, 3, 7, 3, 8]]
    assert batch.predict.tolist() == [2, 4]


def test_a_prompt_inside_another_is_shared_up_to_its_last_token():
    samples = [make_sample([1, 2, 3, 4, 5], [8]), make_sample([1, 2, 3], [7])]
    (batch,) = cut(samples)
    assert batch.tokens.tolist() == [[1, 2, 3, 7, 3, 4, 5, 8]]
    assert batch.sample.tolist() == [1, 0]


def test_pads_fill_the_bucket_and_see_themselves_only():
    (batch,) = cut([make_sample([1, 2], [3])], bucket=8)
    assert batch.tokens.tolist() == [[1, 2, 3, *[PAD] * 5]]
    assert batch.reach[0, 3:].tolist() == [4, 5, 6, 7, 8]
    assert visible(batch, 0).sum(axis=1)[3:].tolist() == [1] * 5


def test_all_tokens_of_a_padded_row_go_through_the_head():
    """As the usual trainer does it: every position has logits, those before padding and at the end are not scored."""
    batches = cut([make_sample([1, 2], [3, 4]), make_sample([5], [6])], "padded", loss="all_tokens")
    (batch,) = batches
    assert len(batch.predict) == batch.layout_tokens == 2 * MAX_LENGTH
    assert [label for _, _, label in scored(batch)] == [2, 3, 4, 6]
    assert batch.supervised_tokens == 4


def test_all_tokens_of_packed_samples_never_cross_a_border():
    (batch,) = cut([make_sample([1, 2], [3]), make_sample([4], [5])], "packed", loss="all_tokens")
    assert batch.labels.tolist() == [2, 3, 5]
    assert batch.predict.tolist() == [0, 1, 3]


def test_micro_batch_is_a_number_of_samples():
    samples = [make_sample([1, n], [n]) for n in range(7)]
    for layout in LAYOUT_NAMES:
        sizes = [len(set(b.sample.tolist())) for b in cut(samples, layout, micro_batch=3)]
        assert sizes == [3, 3, 1]


def test_long_cuts_cost_more_than_short_ones():
    """24 samples of 122 tokens with a 43-token prefix: attention makes one cut dearer than a few."""
    prefix = list(range(43))
    samples = [make_sample([*prefix, 100 + n, *range(44)], [1] * 34) for n in range(24)]
    assert len(cut(samples, max_length=512, cost=NO_FLOOR)) > 2
    assert len(cut(samples, max_length=512, cost=CutCost(pair=0, floor=0))) == 1


def test_what_cannot_be_laid_out_is_refused():
    sample = make_sample([1] * 20, [2] * 5)
    with pytest.raises(InputError, match="several successors"):
        cut([sample], "tree", loss="all_tokens")
    with pytest.raises(InputError, match="25 tokens"):
        cut([sample], "padded")
    assert cut([]) == []
