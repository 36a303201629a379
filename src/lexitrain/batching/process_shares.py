"""Which process computes which micro-batches of a step.

The cuts for one process may be too few, or too uneven, for several: the step lasts as long as its busiest process. So
shorter cuts under a few token budgets are tried, never longer ones, which would need more memory than foreseen. Each
set is dealt out (the dearest cut first, to the process with the least so far: Graham's LPT rule, 1969), and the set
whose busiest process has the least to do is taken. Shares depend on the cuts alone: every process computes them for
itself, and they are the same in all, so that none has to be sent. Only numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lexitrain.batching.cuts import CutCost
from lexitrain.batching.micro_batch import MicroBatch

_CUTS_EACH = (1, 2, 3)
"""Cuts per process that are tried besides those for one process. More of them even out better, but repeat more."""


def deal(batches: Sequence[MicroBatch], cost: CutCost, count: int) -> list[list[MicroBatch]]:
    """One share for each of `count` processes, some possibly empty; a share keeps the order of its cuts."""
    costs = [cost.of_step(_cost(batch, cost), 1) for batch in batches]
    loads = [0.0] * count
    shares: list[list[int]] = [[] for _ in range(count)]
    for index in sorted(range(len(batches)), key=lambda each: (-costs[each], each)):
        least = loads.index(min(loads))
        loads[least] += costs[index]
        shares[least].append(index)
    return [[batches[index] for index in sorted(share)] for share in shares]


def cuts_for(
    lay_out: Callable[[int | None], list[MicroBatch]],
    token_budget: int | None,
    cost: CutCost,
    count: int,
) -> list[MicroBatch]:
    """The cuts of a step that `count` processes finish first.

    Args:
        lay_out: gives the cuts of the step under a token budget.
        token_budget: the most that memory allows; None: no limit.
        cost: of a cut.
        count: processes.
    """
    usual = lay_out(token_budget)
    if count == 1 or not usual:
        return usual
    tokens = sum(batch.layout_tokens for batch in usual)
    most = max(batch.layout_tokens for batch in usual)
    budgets = [-(-tokens // (count * each)) for each in _CUTS_EACH]
    # Cuts end between samples, so that an even budget would leave a small rest to one more cut.
    spare = int(np.ceil(tokens / len(_samples(usual))))
    tried = [usual] + [lay_out(budget + spare) for budget in budgets if budget + spare < most]
    return min(tried, key=lambda batches: _busiest(batches, cost, count))


def _samples(batches: Sequence[MicroBatch]) -> set[int]:
    return {int(index) for batch in batches for index in np.unique(batch.sample)}


def _busiest(batches: Sequence[MicroBatch], cost: CutCost, count: int) -> tuple[float, float]:
    """Cost of the dearest share; and its work alone, which decides where launches take as long either way."""
    shares = [
        (sum(_cost(b, cost) for b in share), len(share)) for share in deal(batches, cost, count)
    ]
    return max((cost.of_step(work, cuts), work) for work, cuts in shares)


def _cost(batch: MicroBatch, cost: CutCost) -> float:
    """Of a micro-batch: every row costs at least `floor`."""
    rows, length = batch.tokens.shape
    each = cost.of(np.array([float(length)]), np.array([batch.cells / rows]))
    return rows * float(each[0])
