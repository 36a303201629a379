"""What any cut of a step costs, as closed forms over a few rehearsals.

A run has hundreds of different cuts; rehearsing each would take minutes. But the work of a cut of `B` rows of `L`
positions with `S` scored ones is linear in 1, B L, the cells of the attention matrix, S and the number of chunks that
the output head takes; where attention goes by blocks also in their number and keys, in the trunk, the queries after
it, their product and whether there is one, and else in whether there are several rows, whose keys a GPU copies. Seven
or eleven rehearsed cuts fix it. A test compares it with rehearsals of
other cuts. Kept in the user's cache folder, so that the next plan needs neither the rehearsals nor torch.

From them and a device's rates follows what a cut costs there, by which steps are cut. A run's plan.json keeps it, so
that a run that goes on is cut as before whatever was measured in between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching import CutCost
from lexitrain.planning.estimate.rehearsal_cache import kept_rehearsal, rehearsal_key
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.optimizer_state import update_work
from lexitrain.planning.rehearsal.rehearsed_step import Work
from lexitrain.planning.rehearsal.target import Target

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.planning.devices.rates import Rates
    from lexitrain.recipe import Recipe

_QUANTITIES = ("flops", "bytes", "launches")
_SHORT, _LONG = CutShape(1, 512, 32), CutShape(1, 1024, 32)
"""Cuts between which the cost of one more token is taken; they differ in nothing else but their cells."""
_DIGITS = 6


@dataclass(frozen=True)
class StepCosts:
    """The work of any step of one configuration.

    Attributes:
        lines: (kind, phase) of each line of work in a cut.
        forms: [lines, quantities, features], see `_features`.
        update: the optimizer's work, once a step.
        head_chunk: scored positions that the head takes at a time.
        trainable_parameters, base_parameters: counts.
        windowed: share of the base's layers whose attention has a sliding window.
        recordable: whether a cut can be recorded as a CUDA graph.
    """

    lines: tuple[tuple[Any, Any], ...]
    forms: NDArray[np.float64]
    update: tuple[Work, ...]
    head_chunk: int
    trainable_parameters: int
    base_parameters: int
    windowed: float = 0.0
    recordable: bool = False
    _known: dict[CutShape, tuple[Work, ...]] = field(
        default_factory=dict[CutShape, tuple[Work, ...]], repr=False, compare=False
    )

    def operations(self, cut: CutShape) -> tuple[Work, ...]:
        """The work of a cut's forward and backward pass, a line for each kind and phase."""
        if cut not in self._known:
            features = np.array(_features(cut, self.head_chunk))
            if cut.window_blocks:
                # A layer's attention costs the same whatever its blocks are there for.
                narrow = np.array(_features(cut.in_window, self.head_chunk))
                features += self.windowed * (narrow - features)
            found = np.maximum(self.forms @ features, 0.0)
            self._known[cut] = tuple(
                Work(kind, phase, *row)
                for (kind, phase), row in zip(self.lines, found.tolist(), strict=True)
            )
        return self._known[cut]


def step_costs(architecture: Architecture, recipe: Recipe, target: Target) -> StepCosts:
    """The costs of a recipe's steps, from the cache or from some rehearsals (some seconds).

    Args:
        architecture: of the base.
        recipe: with quantization and recomputation decided.
        target: the kind of device.
    """
    chunk = recipe.step.head_chunk
    # The optimizer changes the update alone, which has a form of its own.
    key = rehearsal_key("forms", architecture, recipe, target, [_by_blocks(recipe, target)])

    def costs(content: dict[str, Any]) -> StepCosts:
        return StepCosts(
            lines=tuple((kind, phase) for kind, phase in content["lines"]),
            forms=np.array(content["forms"]),
            update=(
                update_work(
                    recipe.optimizer.name, content["sizes"], flat=target.engine == "lexitrain"
                ),
            ),
            head_chunk=chunk,
            trainable_parameters=sum(content["sizes"]),
            base_parameters=content["base_parameters"],
            windowed=architecture.windowed_layers / architecture.decoder.layers,
            recordable=content["recordable"],
        )

    return kept_rehearsal(key, lambda: _fitted(architecture, recipe, target), costs)


def is_recorded(architecture: Architecture, recipe: Recipe, target: Target) -> bool:
    """Whether the cuts of a recipe's steps are recorded as CUDA graphs.

    Args:
        architecture, recipe, target: as of `step_costs`.
    """
    wanted = target.engine == "lexitrain" and recipe.step.graphs == "always"
    return wanted and step_costs(architecture, recipe, target).recordable


def cut_cost(architecture: Architecture, recipe: Recipe, target: Target, rates: Rates) -> CutCost:
    """What a cut costs in units of one token's work, attention apart.

    On a CPU launches are no time of their own, and the cost follows from the decoder's shape alone; so it does where by
    these rates a longer cut takes no longer.

    Args:
        architecture: of the base.
        recipe: where quantization or recomputation is `auto`, neither is used.
        target: the kind of device.
        rates: its speed.
    """
    by_shape = CutCost.of_shape(architecture.decoder)
    if target.device == "cpu":
        return by_shape
    costs = step_costs(architecture, recipe, target)
    short, long = costs.operations(_SHORT), costs.operations(_LONG)
    token = _seconds(long, rates, attention=False) - _seconds(short, rates, attention=False)
    token /= _LONG.positions - _SHORT.positions
    cell = _seconds(long, rates, attention=True) - _seconds(short, rates, attention=True)
    cell /= _LONG.cells - _SHORT.cells
    if not (
        token > 0 <= cell
    ):  # measured rates so uneven, or given ones so high, that more work takes no time
        return by_shape
    started = rates.launch * sum(each.launches for each in short)
    launches = float(f"{started / token:.{_DIGITS}g}")
    return CutCost(
        pair=float(f"{cell / token:.{_DIGITS}g}"),
        floor=by_shape.floor,
        launch=launches if rates.overlapped else 0.0,
        gap=0.0 if rates.overlapped else launches,
    )


def _seconds(operations: tuple[Work, ...], rates: Rates, *, attention: bool) -> float:
    return sum(
        rates.work_seconds(each) for each in operations if (each.kind == "attention") == attention
    )


def cut_cost_to_json(cost: CutCost) -> dict[str, float]:
    """As plan.json holds it."""
    return asdict(cost)


def planned_cut_cost(document: Mapping[str, Any]) -> CutCost | None:
    """That of a plan.json; None where it has none: a version before this one made it, or nothing was foreseen.

    Raises:
        TypeError, ValueError: it holds something else there.
    """
    found = document.get("cut_cost")
    if found is None:
        return None
    numbers = {name: float(value) for name, value in found.items()}
    if not all(0 <= each < math.inf for each in numbers.values()):
        raise ValueError(f"cut_cost: {found}")
    return CutCost(**numbers)


def _by_blocks(recipe: Recipe, target: Target) -> bool:
    """Whether the recipe's cuts attend by blocks; padded rows never do."""
    return target.attention == "blocks" and recipe.step.layout != "padded"


def _features(cut: CutShape, chunk: int) -> tuple[float, ...]:
    chunks = -(-cut.scored // chunk)
    trunk = (bool(cut.trunk), cut.trunk, cut.after_trunk, cut.trunk * cut.after_trunk)
    several = cut.rows > 1
    rest = (len(cut.blocks), cut.keys, *trunk) if cut.blocks else (several, several * cut.positions)
    return (1.0, cut.positions, cut.cells, cut.scored, chunks, *rest)


def _probes(chunk: int, by_blocks: bool) -> tuple[CutShape, ...]:
    """Cuts whose features are independent; the last one needs a second chunk."""
    few = max(1, min(32, chunk // 2))
    if by_blocks:
        one = ((128, 128),)
        return (
            CutShape(1, 128, few, one),
            CutShape(1, 384, few, ((384, 384),)),
            CutShape(1, 512, few, ((256, 256), (256, 512))),
            CutShape(1, 256, few, ((128, 128), (128, 256))),
            CutShape(1, 512, few, ((256, 256), (256, 384))),
            CutShape(1, 384, few, ((256, 256), (128, 128)), trunk=128),
            CutShape(1, 384, few, ((256, 256), (128, 128)), trunk=256),
            CutShape(1, 512, few, ((128, 128), (384, 384)), trunk=128),
            CutShape(1, 512, few, ((256, 256), (256, 256)), trunk=256),
            CutShape(1, 128, 2 * few, one),
            CutShape(1, 128, chunk + few, one),
        )
    return (
        CutShape(1, 128, few),
        CutShape(1, 256, few),
        CutShape(1, 384, few),
        CutShape(2, 128, few),
        CutShape(2, 256, few),
        CutShape(1, 128, 2 * few),
        CutShape(1, 128, chunk + few),
    )


def _fitted(architecture: Architecture, recipe: Recipe, target: Target) -> dict[str, Any]:
    """Solve for the forms. Products are exact; what is rounded to blocks is close."""
    chunk = recipe.step.head_chunk
    probes = _probes(chunk, _by_blocks(recipe, target))
    from lexitrain.planning.rehearsal.rehearse import rehearse_work

    found = rehearse_work(architecture, recipe, target, probes)
    lines = sorted({(work.kind, work.phase) for each in found.operations for work in each})
    matrix = np.array([_features(cut, chunk) for cut in probes])
    tables = [{(work.kind, work.phase): work for work in each} for each in found.operations]
    forms = [
        [
            np.linalg.solve(
                matrix,
                np.array([getattr(t[line], name) if line in t else 0.0 for t in tables]),
            ).tolist()
            for name in _QUANTITIES
        ]
        for line in lines
    ]
    return {
        "lines": lines,
        "forms": forms,
        "sizes": _sizes(architecture, recipe, sum(found.sizes)),
        "base_parameters": found.base_parameters,
        "recordable": found.recordable,
    }


def _sizes(architecture: Architecture, recipe: Recipe, trainable: int) -> list[int]:
    """Elements of each trained tensor; of a base with other projections only their sum is known."""
    sizes = architecture.decoder.adapter_sizes(
        recipe.lora.rank, recipe.lora.targets, recipe.lora.layers
    )
    return sizes if sum(sizes) == trainable else [trainable]
