"""The rehearsal: an optimizer step without weights and without a device, and what it needed.

The step is the product's own (`fake_step.py`), recorded allocation by allocation (`recorder.py`). All layers between
the first and the last are alike, so a deep model is not stepped with all its layers: two shallow ones are recorded,
their records compared allocation by allocation, and the difference, one layer, is added as often as the deep model has
it. That is exact for whatever grows by equal amounts from layer to layer. The moment of the peak is then searched in
the extended record, not assumed. Takes about half a second for each shape of cut.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching import MicroBatch
from lexitrain.planning.rehearsal.allocator import overhead_bytes, reserved_bytes, workspace_bytes
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.fake_step import FakeStep, build_fake_step
from lexitrain.planning.rehearsal.optimizer_state import state_bytes, update_work
from lexitrain.planning.rehearsal.recorder import PARTS, Recording, WorkTable, summed
from lexitrain.planning.rehearsal.rehearsed_step import Memory, Rehearsal, Work
from lexitrain.planning.rehearsal.target import Target
from lexitrain.planning.rehearsal.trainer_step import build_trainer_step

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.recipe import Recipe

_SHALLOW = (2, 3)
"""Depths that are recorded: a first and a last layer, and one in between."""
_BETWEEN = 1
"""The number of that layer."""


@dataclass(frozen=True)
class _Fixed:
    """What does not depend on the cuts, in bytes and counts."""

    weights: int
    sizes: list[int]
    base_parameters: int
    copies: int  # of the adapter in the compute precision, while micro-batches are computed
    collected: bool  # gradients are added in one buffer from the start


class _AtDepths:
    """The recipe's step at two depths from which the others follow, or at the full depth alone."""

    def __init__(self, architecture: Architecture, recipe: Recipe, target: Target) -> None:
        build = build_trainer_step if target.engine == "trainer" else build_fake_step
        self._build: Callable[[int], FakeStep] = partial(build, architecture, recipe, target)
        self.depth = architecture.decoder.layers
        self._mixed = architecture.windowed_layers not in {0, self.depth}
        # Where some layers have adapters and others none, they are not alike.
        alike = self.depth > max(_SHALLOW) and not recipe.lora.layers
        depths = _SHALLOW if alike else (self.depth,)
        self.steps = [self._build(each) for each in depths]
        self._beyond = self.depth - depths[0]
        self._found_alike = False
        self._recomputes: bool | None = None
        self._layer: dict[Any, WorkTable] = {}

    def recompute(self, on: bool) -> None:
        """Recompute activations in what is recorded from now on, or keep them."""
        if self._recomputes != on:
            self._recomputes, self._found_alike = on, False
            self._layer.clear()
            for each in self.steps:
                each.recompute(on)

    def fixed(self) -> _Fixed:
        """Weights and trained tensors at the full depth."""
        sizes = self.steps[0].adapter_sizes()
        if len(self.steps) == 2:
            sizes = sizes + self.steps[1].adapter_sizes()[len(sizes) :] * self._beyond
        return _Fixed(
            self._extended([each.base_bytes() for each in self.steps]),
            sizes,
            self._extended([each.base_parameters for each in self.steps]),
            self._extended([each.copied_bytes() for each in self.steps]),
            self.steps[0].step.known_layers,
        )

    def record(self, cut: CutShape) -> tuple[NDArray[np.float64], WorkTable]:
        """Bytes in use after each allocation, by part, and the work of a micro-batch at the full depth."""
        if cut.windowed and self._mixed:
            self._step_all_layers()
        found = [step.record(cut) for step in self.steps]
        if len(found) == 1:
            return found[0].parts, found[0].work
        shallow, deeper = found
        aligned = deeper.parts[_without_layer(deeper, _BETWEEN)]
        if aligned.shape != shallow.parts.shape or not self._alike(shallow, deeper):
            self._step_all_layers()  # they are not alike
            return self.record(cut)
        self._found_alike = True
        layer = self._layer[replace(cut, scored=0)] = _layer_work(deeper)
        parts = shallow.parts + self._beyond * (aligned - shallow.parts)
        return parts, summed([shallow.work, _times(self._beyond, layer)])

    def work(self, cut: CutShape) -> WorkTable:
        """The work of a micro-batch at the full depth, without its memory: one recording."""
        if len(self.steps) == 1 or (cut.windowed and self._mixed):
            return self.record(cut)[1]
        if not self._found_alike:
            return self.record(cut)[1]
        # A layer's work does not depend on how many of its positions are scored.
        sizes = replace(cut, scored=0)
        if sizes in self._layer:
            shallow = self.steps[0].record(cut).work
            return summed([shallow, _times(self._beyond, self._layer[sizes])])
        deeper = self.steps[1].record(cut)
        layer = self._layer[sizes] = _layer_work(deeper)
        return summed([deeper.work, _times(self._beyond - 1, layer)])

    def _step_all_layers(self) -> None:
        """Record the whole model from now on."""
        if len(self.steps) > 1:
            self.steps, self._beyond = [self._build(self.depth)], 0
            self.steps[0].recompute(bool(self._recomputes))

    def _alike(self, shallow: Recording, deeper: Recording) -> bool:
        """Whether one more layer is one more layer's work."""
        layer = _layer_work(deeper)
        more = summed([shallow.work, layer])
        work = deeper.work
        return bool(layer) and all(
            np.allclose(more.get(line, 0.0), numbers) for line, numbers in work.items()
        )

    def _extended(self, values: Sequence[int]) -> int:
        if len(values) == 1:
            return values[0]
        return values[0] + self._beyond * (values[1] - values[0])


_built: dict[str, _AtDepths] = {}
_MOST_BUILT = 8
"""Pairs of fake steps that are kept, the oldest dropped first: a search comes back to a base with other settings."""


def _at_depths(architecture: Architecture, recipe: Recipe, target: Target) -> _AtDepths:
    """The fake steps for these settings, those of the last few kept: building takes as long as recording."""
    step = recipe.step
    settings = (
        architecture.fingerprint,
        recipe.model.quantization,
        recipe.lora,
        step.head_chunk,
        target,
        _SHALLOW,
    )
    key = repr(settings)
    if key not in _built:
        if len(_built) == _MOST_BUILT:
            del _built[next(iter(_built))]
        _built[key] = _AtDepths(architecture, recipe, target)
    _built[key].recompute(step.gradient_checkpointing == "always")
    return _built[key]


@contextmanager
def _without_collections() -> Generator[None]:
    """Python's cycle collector rests. It would look through all of torch again and again: a fifth of a long search."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_without_collections()
def rehearse(
    architecture: Architecture,
    recipe: Recipe,
    target: Target,
    cuts: Sequence[CutShape | MicroBatch],
) -> Rehearsal:
    """One optimizer step with these micro-batches.

    Args:
        architecture: shape of the base.
        recipe: the settings. Quantization and recomputation are used where it says so; `auto` counts as no.
        target: the kind of device.
        cuts: the step's micro-batches, at least one.

    Raises:
        InputError: transformers does not know the base, or it has none of the adapter's targets.
    """
    shapes = tuple(CutShape.of(each) if isinstance(each, MicroBatch) else each for each in cuts)
    stage = _at_depths(architecture, recipe, target)
    records = {shape: stage.record(shape) for shape in dict.fromkeys(shapes)}
    fixed = stage.fixed()
    gradients = 4 * sum(fixed.sizes)
    moments = [_peak(records[shapes[0]][0], None)]
    moments += [_peak(records[shape][0], gradients) for shape in dict.fromkeys(shapes[1:])]
    for each in moments:
        each["activations"] += fixed.copies
    # Gradients of single tensors move into one buffer after the last micro-batch.
    moved = 0 if fixed.collected else gradients
    moments.append({"activations": 0, "logits": 0, "gradients": gradients, "workspace": moved})
    return Rehearsal(
        memory=_memory(max(moments, key=lambda each: sum(each.values())), fixed, recipe, target),
        operations=(
            *_lines(summed(records[shape][1] for shape in shapes)),
            update_work(recipe.optimizer.name, fixed.sizes, flat=target.engine == "lexitrain"),
        ),
    )


@_without_collections()
def rehearse_validation(
    architecture: Architecture, recipe: Recipe, target: Target, cut: CutShape
) -> Memory:
    """Memory while a validation computes this micro-batch, after a step whose gradients are still there.

    Nothing is kept from layer to layer, so that a shallow base needs what a deep one does.

    Args:
        architecture, recipe, target: as of `rehearse`.
        cut: the micro-batch.
    """
    stage = _at_depths(architecture, recipe, target)
    fixed = stage.fixed()
    gradients = 4 * sum(fixed.sizes)
    moment = _peak(stage.steps[0].record(cut, training=False).parts, gradients)
    # A validation takes the adapter's numbers as a whole, where a step recomputes and takes them layer by layer too.
    moment["activations"] += 0 if target.dtype == "fp32" else gradients // 2
    return _memory(moment, fixed, recipe, target)


@dataclass(frozen=True)
class RehearsedWork:
    """The work of some micro-batches, each for itself, without its memory.

    Attributes:
        operations: of each micro-batch, a line for each kind and phase.
        sizes: numbers in each trained tensor.
        base_parameters: of the frozen base.
        recordable: whether a micro-batch can be recorded as a CUDA graph.
    """

    operations: tuple[tuple[Work, ...], ...]
    sizes: list[int]
    base_parameters: int
    recordable: bool


@_without_collections()
def rehearse_work(
    architecture: Architecture, recipe: Recipe, target: Target, cuts: Sequence[CutShape]
) -> RehearsedWork:
    """As `rehearse`, of each of these micro-batches alone; half as long, because memory is left out."""
    stage = _at_depths(architecture, recipe, target)
    operations = tuple(_lines(stage.work(cut)) for cut in cuts)
    fixed = stage.fixed()
    decoder = stage.steps[0].step.decoder  # the base's own has no such property
    recordable = target.attention in {"dense", "flex"} and getattr(decoder, "recordable", False)
    return RehearsedWork(operations, fixed.sizes, fixed.base_parameters, recordable)


def _without_layer(recording: Recording, layer: int) -> NDArray[np.bool_]:
    """Which allocations belong to no pass of `layer`; all of them where layers could not be told."""
    marks = recording.marks
    kept = np.ones(len(recording.parts), dtype=np.bool_)
    if f"backward {layer}" not in marks:
        return kept
    kept[marks[f"forward {layer}"] : marks[f"forward {layer + 1}"]] = False
    kept[marks[f"backward {layer}"] : marks[f"backward {layer - 1}"]] = False
    return kept


def _layer_work(recording: Recording) -> WorkTable:
    """The work of the layer in between, forward and backward; nothing where layers could not be told."""
    names = (f"forward {_BETWEEN}", f"backward {_BETWEEN}")
    return summed(recording.segments.get(name, {}) for name in names)


def _times(factor: float, table: WorkTable) -> WorkTable:
    return {line: factor * numbers for line, numbers in table.items()}


def _peak(parts: NDArray[np.float64], gradients: int | None) -> dict[str, int]:
    """The parts at the moment when their sum is largest.

    Args:
        parts: of a cut from empty gradients.
        gradients: bytes of all gradients where an earlier cut has filled them; new ones are then added and dropped.
    """
    if gradients is not None:
        parts = parts.copy()
        parts[:, PARTS.index("gradients")] = gradients
    moment = parts[int(parts.sum(axis=1).argmax())]
    return {name: round(float(value)) for name, value in zip(PARTS, moment, strict=True)}


def _memory(moment: Mapping[str, int], fixed: _Fixed, recipe: Recipe, target: Target) -> Memory:
    weights, adapter = fixed.weights, 4 * sum(fixed.sizes)
    optimizer = state_bytes(recipe.optimizer.name, fixed.sizes)
    moment = {**moment, "workspace": moment["workspace"] + workspace_bytes(target)}
    peak = weights + adapter + optimizer + sum(moment.values())
    return Memory(
        weights=weights,
        adapter=adapter,
        optimizer=optimizer,
        **moment,
        reserved=reserved_bytes(peak, target),
        overhead=overhead_bytes(target),
    )


def _lines(table: WorkTable) -> tuple[Work, ...]:
    return tuple(
        Work(kind, phase, *(float(each) for each in numbers))
        for (kind, phase), numbers in sorted(table.items())
    )
