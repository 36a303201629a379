"""The memory at the peak of a run: searched over the run's own cuts.

Rehearsing a cut takes a tenth of a second or more, and a run has hundreds of different cuts. Memory is released between
them, so one cut decides, but not always the longest or the one with most scored positions: activations grow with
positions, logits with scored ones, and a cut that is second in both may need more than either. So the extreme cuts are
rehearsed first; what their parts took a position, and a scored position, bounds all others; and those whose bound
exceeds what was found are rehearsed as well, the highest first.

Where cuts are recorded as CUDA graphs, two things hold memory at a time, and neither can use the other's. Cuts that
come by for the first two times, forms beyond the twelve and validations that are not recorded yet are computed plainly,
in ordinary memory; and all recordings share a pool, which keeps as much as the largest of them needs between two
replays: what a cut allocates is given back within its recording, to the pool. With `F` the bytes that stay (weights,
adapter, its copy in the compute precision, optimizer, inputs of the recordings), `G` those of the gradient, which stays
too, and `T` what the cut that needs most allocates from its first operation to its last,

    peak = F + G + T (the pool) + max(T + G, 4 G)

While a form is recorded, the gradient so far is set aside (G) and the cut is computed plainly twice (T); its replay is
then compared, beside the plain gradient, the replayed one and their difference (3 G more), while no plain cut is
computed. In the first case the pool is full if the largest form was recorded before this one. No GPU has run this: that
the allocator behaves so is read from its rules, not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lexitrain.batching import MOST_RECORDED, TILE
from lexitrain.planning.estimate.rehearsal_cache import kept_rehearsal, rehearsal_key
from lexitrain.planning.estimate.step_costs import is_recorded
from lexitrain.planning.rehearsal.allocator import overhead_bytes, reserved_bytes, workspace_bytes
from lexitrain.planning.rehearsal.rehearsed_step import Memory

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.planning.rehearsal.cut_shape import CutShape
    from lexitrain.planning.rehearsal.target import Target
    from lexitrain.recipe import Recipe

_CLOSE = 1.01
"""A cut whose bound is within a percent of the highest peak found is not rehearsed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cut of the run, and when it comes.

    Attributes:
        cut: its shape.
        later: whether an earlier cut of its step has filled the gradients.
    """

    cut: CutShape
    later: bool


def peak_memory(
    architecture: Architecture,
    recipe: Recipe,
    target: Target,
    steps: Iterable[Sequence[CutShape]],
    validations: Iterable[Sequence[CutShape]] = (),
) -> Memory:
    """The peak over these steps and validations, found by rehearsals (from the cache where it was before).

    Args:
        architecture, recipe, target: as of `rehearse`.
        steps: as their cuts.
        validations: their batches, as their cuts.
    """
    candidates = _candidates(steps)
    recorded = is_recorded(architecture, recipe, target)
    if target.engine == "lexitrain" and recipe.step.graphs == "always":
        # The gradient's memory is kept from step to step, whether cuts can be recorded or not.
        candidates = sorted({replace(each, later=True) for each in candidates}, key=str)
    validated = _beyond(candidates, {cut for batch in validations for cut in batch})
    more = [
        [recipe.optimizer.name, recorded],
        *([asdict(each.cut), each.later] for each in candidates),
        *(asdict(cut) for cut in validated),
    ]
    key = rehearsal_key("memory", architecture, recipe, target, more)

    def found() -> dict[str, Any]:
        from lexitrain.planning.rehearsal.rehearse import rehearse, rehearse_validation

        def memory_of(each: Candidate) -> Memory:
            # What comes later is rehearsed after itself: the gradients are then full.
            cuts = (each.cut, each.cut) if each.later else (each.cut,)
            return rehearse(architecture, recipe, target, cuts).memory

        plain = searched_peak(candidates, memory_of, recipe.step.head_chunk)
        others = [rehearse_validation(architecture, recipe, target, cut) for cut in validated]
        plain = max([plain, *others], key=lambda memory: memory.peak)
        if not recorded:
            return asdict(plain)
        recomputes = recipe.step.gradient_checkpointing == "always"
        cuts = [*(each.cut for each in candidates), *validated]
        return asdict(with_recordings(plain, cuts, target, recomputes=recomputes))

    return kept_rehearsal(key, found, lambda content: Memory(**content))


def searched_peak(
    candidates: Sequence[Candidate], memory_of: Callable[[Candidate], Memory], head_chunk: int
) -> Memory:
    """The largest memory of all candidates, to a percent.

    Args:
        candidates: at least one.
        memory_of: rehearses one.
        head_chunk: scored positions that the output head takes at a time.
    """
    found = {each: memory_of(each) for each in _extremes(candidates)}
    while True:
        most = max(found.values(), key=lambda memory: memory.peak)
        rest = [each for each in candidates if each not in found]
        bounds = {each: _bound(each, found, head_chunk) for each in rest}
        if not rest or max(bounds.values()) <= _CLOSE * most.peak:
            return most
        highest = max(rest, key=lambda each: bounds[each])
        found[highest] = memory_of(highest)


def with_recordings(
    plain: Memory,
    cuts: Sequence[CutShape],
    target: Target,
    *,
    recomputes: bool,
    pooled: bool | None = None,
) -> Memory:
    """The memory of a run whose cuts are recorded, by the formula that stands above.

    Args:
        plain: at the peak of the cut that needs most, without recordings, the gradient included.
        cuts: of the run.
        target: the kind of device.
        recomputes: whether activations are computed again. A layer then takes its own part of the adapter's copy, but
            validations need the whole.
        pooled: whether recordings keep what a cut allocates. A CPU's do not, where not said otherwise.
    """
    copy = 0 if target.dtype == "fp32" else plain.adapter // 2
    cut = plain.activations + plain.logits + plain.workspace - workspace_bytes(target)
    cut -= 0 if recomputes else copy
    pool = 0
    if target.device == "cuda" if pooled is None else pooled:
        # Products are started by the thread that computes forward and by that of the backward pass.
        pool = cut + 2 * workspace_bytes(target)
    gradient = plain.gradients
    found = replace(
        plain,
        activations=plain.activations + _inputs(cuts) + (copy if recomputes else 0),
        gradients=gradient + max(gradient, 4 * gradient - cut),
        graphs=pool,
    )
    forms = len({(each.rows, each.length, each.scored, each.windowed) for each in cuts})
    return replace(
        found,
        reserved=reserved_bytes(found.peak, target, pool),
        overhead=overhead_bytes(target, min(forms, MOST_RECORDED)),
    )


def _inputs(cuts: Sequence[CutShape]) -> int:
    """Bytes of the inputs of as many recordings as there may be, of steps and of validations, each as large as any."""

    def of(cut: CutShape) -> int:
        numbers = 8 * (3 * cut.positions + 2 * cut.scored)
        count = -(-cut.length // TILE)
        # Of tiles seen in part and seen whole, by queries and by keys, how many and which.
        tables = 4 * 4 * cut.rows * (count + count**2) if cut.tiles else 0
        return numbers + tables

    return 2 * MOST_RECORDED * max(map(of, cuts))


def _candidates(steps: Iterable[Sequence[CutShape]]) -> list[Candidate]:
    """All different cuts; one that comes both first and later counts as later, when it needs more."""
    later: dict[CutShape, bool] = {}
    for step in steps:
        for place, cut in enumerate(step):
            later[cut] = later.get(cut, False) or place > 0
    return sorted((Candidate(cut, after) for cut, after in later.items()), key=str)


def _extremes(candidates: Sequence[Candidate]) -> set[Candidate]:
    """Those with most positions, most cells of attention and most scored positions."""
    measures: tuple[Callable[[CutShape], tuple[int, ...]], ...] = (
        lambda cut: (cut.positions, cut.scored),
        lambda cut: (cut.cells, cut.scored),
        lambda cut: (cut.scored, cut.positions),
    )
    return {
        max(candidates, key=lambda each: (*measure(each.cut), each.later)) for measure in measures
    }


def _beyond(candidates: Sequence[Candidate], validations: set[CutShape]) -> list[CutShape]:
    """The extreme ones of the validations' cuts that are larger than all of the steps in some measure.

    Others need less than a step's, which keep activations besides.
    """
    if not validations:
        return []
    extremes = _extremes([Candidate(cut, later=False) for cut in validations])
    most = [max(each.cut.positions for each in candidates)]
    most += [max(each.cut.cells for each in candidates)]
    most += [max(each.cut.scored for each in candidates)]
    found = {
        each.cut
        for each in extremes
        if any(
            own > other
            for own, other in zip(
                (each.cut.positions, each.cut.cells, each.cut.scored), most, strict=True
            )
        )
    }
    return sorted(found, key=str)


def _bound(each: Candidate, found: Mapping[Candidate, Memory], head_chunk: int) -> float:
    """Bytes that this candidate needs if one of those that were rehearsed is like it, whichever makes most of it.

    Which moment of a step is the peak differs between cuts: each known one stands for its own.
    """
    in_head = _in_head(each.cut, head_chunk)
    gradients = max(memory.gradients for memory in found.values())
    return gradients + max(
        memory.weights
        + memory.adapter
        + memory.optimizer
        + (memory.activations + memory.workspace) / known.cut.positions * each.cut.positions
        + memory.logits / _in_head(known.cut, head_chunk) * in_head
        for known, memory in found.items()
    )


def _in_head(cut: CutShape, head_chunk: int) -> int:
    """Scored positions whose logits are there at once."""
    return min(cut.scored, head_chunk)
