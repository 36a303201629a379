"""The memory at the peak of a run: searched over the run's own cuts.

Rehearsing a cut takes a tenth of a second or more, and a run has hundreds of different cuts. Memory is released between
them, so one cut decides, but not always the longest or the one with most scored positions: activations grow with
positions, logits with scored ones, and a cut that is second in both may need more than either. So the extreme cuts are
rehearsed first; what their parts took a position, and a scored position, bounds all others; and those whose bound
exceeds what was found are rehearsed as well, the highest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.planning.estimate.rehearsal_cache import kept_rehearsal, rehearsal_key
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
    architecture: Architecture, recipe: Recipe, target: Target, steps: Iterable[Sequence[CutShape]]
) -> Memory:
    """The peak over these steps, found by rehearsals (from the cache where it was before)."""
    candidates = _candidates(steps)
    more = [recipe.optimizer.name, *([asdict(each.cut), each.later] for each in candidates)]
    key = rehearsal_key("memory", architecture, recipe, target, more)

    def found() -> dict[str, Any]:
        from lexitrain.planning.rehearsal.rehearse import rehearse

        def memory_of(each: Candidate) -> Memory:
            # What comes later is rehearsed after itself: the gradients are then full.
            cuts = (each.cut, each.cut) if each.later else (each.cut,)
            return rehearse(architecture, recipe, target, cuts).memory

        return asdict(searched_peak(candidates, memory_of, recipe.step.head_chunk))

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
