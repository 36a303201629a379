"""From work to seconds: the roofline of each kind of operation.

An operation takes as long as its arithmetic at the device's rate or its traffic at the device's bandwidth, whichever
is longer (Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785). Starting it costs a launch. A GPU works
while the next kernels are being started, so that a step takes the longer of its work and its launches; a CPU does one
after the other. Rates depend on the size of one operation: small products do not fill a device.

Nothing here knows a model or a recipe.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lexitrain.planning.devices.catalogue import Gpu
    from lexitrain.planning.rehearsal.rehearsed_step import Kind, Work

Level = Literal["low", "expected", "high"]

_PRODUCTS: frozenset[Kind] = frozenset({"matmul", "adapter", "head"})
_BANDWIDTH = {"low": 0.9, "expected": 0.8, "high": 0.6}
"""Level -> share of the data sheet's bandwidth that element-wise kernels reach. An assumption: copies reach 0.75 to 0.9
on most cards, chains of small kernels less."""
_GRAPH_LAUNCH = {"low": 1e-6, "expected": 1.5e-6, "high": 3e-6}
"""Level -> seconds from the end of one kernel of a CUDA graph to the next, which no host starts: nothing is computed
meanwhile. An assumption: on no GPU was it measured with this product's step."""
_ATTENTION = 0.5
"""Rate of the fused attention kernel, as a share of that of plain products: with a dense mask and 64 to 128 numbers a
head it keeps less of a device busy. An assumption; `--calibrate` measures it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate as a function of the size of one operation, from measured points.

    Attributes:
        points: (size, rate), sizes ascending. Between them the rate follows a power of the size; outside, the nearest
            point holds.
    """

    points: tuple[tuple[float, float], ...]

    def at(self, size: float) -> float:
        """The rate for an operation of this size."""
        sizes = [each for each, _ in self.points]
        right = bisect_left(sizes, size)
        if right == 0:
            return self.points[0][1]
        if right == len(sizes):
            return self.points[-1][1]
        (before, slow), (after, fast) = self.points[right - 1], self.points[right]
        share = math.log(size / before) / math.log(after / before)
        return slow * (fast / slow) ** share


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a device does each kind of work.

    Attributes:
        matrix, attention: operations a second, by the operations of one product or kernel.
        bandwidth: bytes a second, by the bytes that one operation moves.
        launch: seconds to start one operation.
        overlapped: whether work goes on while the next operation is started.
        factors: kind -> how much longer that work takes than these rates say, as measured in whole steps.
    """

    matrix: Curve
    attention: Curve
    bandwidth: Curve
    launch: float
    overlapped: bool
    factors: Mapping[str, float] = field(default_factory=dict[str, float])

    def work_seconds(self, work: Work) -> float:
        """Time of the work itself, without the launches."""
        if not work.launches:
            return 0.0
        moved = work.bytes / work.launches
        seconds = moved / self.bandwidth.at(moved) if moved else 0.0
        size = work.flops / work.launches
        curve = self.matrix if work.kind in _PRODUCTS else self.attention
        if size and (work.kind in _PRODUCTS or work.kind == "attention"):
            seconds = max(seconds, size / curve.at(size))
        return work.launches * seconds * self.factors.get(work.kind, 1.0)

    def seconds(self, operations: Iterable[Work]) -> float:
        """Time of operations that are started one after the other."""
        listed = list(operations)
        work = sum(self.work_seconds(each) for each in listed)
        launches = self.launch * sum(each.launches for each in listed)
        return max(work, launches) if self.overlapped else work + launches

    def by_kind(self, operations: Iterable[Work]) -> dict[str, float]:
        """Seconds of each kind of work, launches apart."""
        found: dict[str, float] = {}
        for each in operations:
            found[each.kind] = found.get(each.kind, 0.0) + self.work_seconds(each)
        return found


def in_graphs(rates: Rates, level: Level) -> Rates:
    """The rates for work that is recorded in a CUDA graph; those of a CPU, which has none, stay."""
    if not rates.overlapped:
        return rates
    return replace(rates, launch=_GRAPH_LAUNCH[level], overlapped=False)


def catalogue_rates(gpu: Gpu, precision: str, level: Level) -> Rates:
    """The rates that a data sheet and the achieved fraction give.

    Args:
        gpu: the device.
        precision: of the matrix products: fp16, bf16 or fp32.
        level: `low` is the shortest time that is likely, `high` the longest.
    """
    # The smallest share of the peak gives the longest time.
    low, expected, high = gpu.fraction
    fraction = {"low": high, "expected": expected, "high": low}[level]
    faster = {"low": gpu.unknown, "expected": 1.0, "high": 1 / gpu.unknown}[level]
    matrix = gpu.peak(precision) * fraction * faster
    bandwidth = 1e9 * gpu.bandwidth * _BANDWIDTH[level] * faster
    shortest, longest = gpu.launch_factors
    launch = {"low": shortest, "expected": 1.0, "high": longest}[level]
    return Rates(
        matrix=Curve(((1.0, matrix),)),
        attention=Curve(((1.0, matrix * _ATTENTION),)),
        bandwidth=Curve(((1.0, bandwidth),)),
        launch=1e-6 * gpu.launch * launch,
        overlapped=not gpu.is_cpu,
    )
