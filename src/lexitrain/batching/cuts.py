"""Cuts: where to divide a step's row of samples into micro-batches, and what one costs.

Where attention is dense, its cost grows with the square of a cut's length, so that the cheapest cuts are short. With
attention by blocks a further cut costs no more than the prefix that it repeats: one long row is then the cheapest in
time and by far the dearest in memory, so the shortest cuts are taken that cost at most a tenth more.

A GPU computes while the kernels that follow are being started, so a step there takes the longer of its work and its
launches: cuts are worth their saving as long as the launches of all of them take less. A slower launch never gives more
cuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching.few_shapes import row_lengths
from lexitrain.batching.query_blocks import TILE, Integers

if TYPE_CHECKING:
    from lexitrain.batching.decoder_shape import DecoderShape

_SHORT_CUTS = (576, 768, 1024, 1536)
"""Lengths of cuts to try for their memory, tokens. Shorter ones lose speed: more, smaller matrix products."""
_WORTH_MEMORY = 1.1
"""How many times the least cost a step by blocks may cost in shorter cuts: a step in one row takes about three times
their memory."""


@dataclass(frozen=True, slots=True)
class CutCost:
    """What a micro-batch costs, in units of one token's matrix products through the decoder layers.

    A cut of `L` positions and `C` cells of the attention matrix, `L ** 2` where it is dense, costs
    `max(L + pair * C, floor) + gap`, and a step the sum over its cuts or `launch` times their number, whichever is
    more. The defaults are those of Qwen2.5-0.5B on a device whose launches cost nothing to speak of.

    Args:
        pair: cost of one cell of the attention matrix. It takes 14 x (heads x head dimension) operations: two
            products forward, five backward (fused kernels compute the scores again), 2 operations each. A token takes
            4 x (weights of a layer): the frozen base needs no weight gradients.
        floor: a cut shorter than this costs as much as one of this length: products of so few rows fill no device.
        launch: tokens that a GPU computes while the kernels of one cut are started. 0 where a device does one after
            the other.
        gap: tokens that it could compute between the kernels of one cut, where nobody starts them: in a CUDA graph.
    """

    pair: float = 14 * 896 / (4 * 14_909_440)
    floor: float = 256.0
    launch: float = 0.0
    gap: float = 0.0

    @classmethod
    def of_shape(cls, shape: DecoderShape) -> CutCost:
        """The cost for a decoder."""
        return cls(pair=14 * shape.attention_width / (4 * shape.weights_per_layer))

    def of(self, lengths: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cost of cuts with the given lengths (positions) and cells."""
        return np.maximum(lengths + self.pair * cells, self.floor) + self.gap

    def of_step(self, work: float, cuts: int) -> float:
        """Cost of so many cuts that are computed one after the other.

        Args:
            work: sum of their costs.
            cuts: their number.
        """
        return max(work, cuts * self.launch)


def cheapest_cuts(
    lengths: Integers,
    shared: Integers,
    token_budget: int | None,
    cost: CutCost,
    bucket: int,
    blocks: bool,
    tiles: bool = False,
    few_shapes: bool = False,
) -> list[int]:
    """Contiguous cuts with the least total cost; with `blocks` and no budget, nearly the least in much less memory.

    Args:
        lengths: [N] of the samples, in their order in the row.
        shared: [N] leading tokens that each shares with the one before, 0 for the first.
        token_budget: most tokens a cut may hold; a single longer sample gets its own cut.
        cost: of a cut.
        bucket: a cut's tokens are padded to a multiple of it.
        blocks: whether attention goes by blocks.
        tiles: whether it leaves out tiles that the rule hides.
        few_shapes: whether a cut's tokens are padded to one of few lengths besides.

    Returns:
        Exclusive ends of the cuts, as numbers of samples.
    """
    tokens = row_lengths(_cut_tokens(lengths, shared), bucket, few_shapes)
    costs = _cut_costs(tokens, lengths, shared, cost, blocks=blocks, tiles=tiles)
    if cost.launch:
        return _few(_allowed(tokens, costs, token_budget), cost)
    if token_budget is not None:
        return _path(_allowed(tokens, costs, token_budget))[0]
    ends, least = _path(costs)
    longest = max(tokens[start, end] for start, end in zip([0, *ends], ends, strict=False))
    single = int(np.diagonal(tokens, 1).max())  # the longest sample needs its memory in any case
    # Dense attention makes the cheapest cuts short; by blocks nothing but the activations' memory speaks against long
    # ones, and shorter ones cost what they repeat.
    for short in _SHORT_CUTS if blocks else ():
        budget = max(short, single)
        if budget >= longest:
            break
        shorter, total = _path(_allowed(tokens, costs, budget))
        if total <= least * _WORTH_MEMORY:
            return shorter
    return ends


def _cut_tokens(lengths: Integers, shared: Integers) -> Integers:
    """Tokens of each cut of samples `[start, end)`, [N, N + 1]; meaningless where `end <= start`."""
    # A cut holds its samples' lengths less the shares of all but the first.
    length_sum = np.concatenate([[0], np.cumsum(lengths)])
    share_sum = np.concatenate([[0], np.cumsum(shared)])
    return length_sum - length_sum[:-1, None] - (share_sum - share_sum[1:, None])


def _cut_costs(
    tokens: Integers,
    lengths: Integers,
    shared: Integers,
    cost: CutCost,
    *,
    blocks: bool,
    tiles: bool,
) -> NDArray[np.float64]:
    """Cost of each cut of samples `[start, end)`, [N, N + 1]; meaningless where `end <= start`."""
    cells = tokens**2
    if (
        blocks or tiles
    ):  # a sample's own tokens see its path alone; the first of a cut has nothing before it
        cell_sum = np.concatenate([[0], np.cumsum((lengths - shared) * lengths)])
        seen = cell_sum - cell_sum[:-1, None] + (shared * lengths)[:, None]
        # Tiles at both ends of what a query sees are computed whole.
        cells = seen if blocks else np.minimum(seen + TILE * tokens, cells)
    return cost.of(tokens.astype(np.float64), cells.astype(np.float64))


def _allowed(
    tokens: Integers, costs: NDArray[np.float64], token_budget: int | None
) -> NDArray[np.float64]:
    """The costs, infinite for cuts that hold more tokens than the budget and more than one sample."""
    if token_budget is None:
        return costs
    allowed = tokens <= token_budget
    np.fill_diagonal(allowed[:, 1:], True)  # a single sample must go somewhere
    return np.where(allowed, costs, np.inf)


def _few(costs: NDArray[np.float64], cost: CutCost) -> list[int]:
    """The ends of the cuts of the step with the least cost, launches included, and of such the fewest.

    For one cut more at a time, the least sum of costs up to each end follows from those with one less. It ends where
    the launches alone cost more than the best so far; O(cuts x samples²).
    """
    count = len(costs)
    costs = np.where(
        np.tri(count, count + 1, dtype=bool), np.inf, costs
    )  # from a sample to one after it
    least = costs[0]
    come_from: list[Integers] = [np.zeros(count + 1, dtype=np.int64)]
    best, fewest = cost.of_step(float(least[-1]), 1), 1
    while len(come_from) < count and (len(come_from) + 1) * cost.launch < best:
        totals = least[:-1, None] + costs
        come_from.append(totals.argmin(axis=0))
        least = totals.min(axis=0)
        if (total := cost.of_step(float(least[-1]), len(come_from))) < best:
            best, fewest = total, len(come_from)
    ends = [count]
    for step in come_from[fewest - 1 : 0 : -1]:
        ends.append(int(step[ends[-1]]))
    return ends[::-1]


def _path(costs: NDArray[np.float64]) -> tuple[list[int], float]:
    """The ends of the cuts with the least total cost, and that cost; O(samples²)."""
    count = len(costs)
    best = np.zeros(count + 1)
    come_from = np.zeros(count + 1, dtype=np.int64)
    for end in range(1, count + 1):
        totals = best[:end] + costs[:end, end]
        come_from[end] = int(np.argmin(totals))
        best[end] = totals[come_from[end]]
    ends = [count]
    while come_from[ends[-1]] > 0:
        ends.append(int(come_from[ends[-1]]))
    return ends[::-1], float(best[-1])
