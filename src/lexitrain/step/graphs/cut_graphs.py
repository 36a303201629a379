"""Cuts of a few forms, each recorded when it has come by often enough, and replayed from then on.

A recording is used only where its first replay gives the gradient that the plain computation gives; whatever goes wrong
with one ends in the plain computation, and is told. A recording reads the adapter, the base and the gradient where they
lay when it was made: where one of them has moved, all are dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lexitrain.step.graphs.recording import Recorder, Recording, Work, recorder_of
from lexitrain.step.graphs.static_inputs import CutForm, StaticInputs, scalar
from lexitrain.step.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from lexitrain.batching import MicroBatch
    from lexitrain.step.attention import BatchTensors
    from lexitrain.step.update.flat_adapter import FlatAdapter

Compute = Callable[["MicroBatch", "BatchTensors", Tensor], Tensor]
"""Adds the gradients of a micro-batch with these tensors, times a factor; gives its loss, detached."""

_USES = 3
"""A form is recorded when it comes by for this time: recording takes as long as some steps."""
_MOST = 12
"""Recordings of a run: each holds its inputs and what its kernels were told."""
_SAME = {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 1e-2}
"""By how much, relative to its length, a replayed gradient may differ: sums are not always taken in the same order."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    inputs: StaticInputs
    recording: Recording


class CutGraphs:
    """The recordings of one step.

    Attributes:
        told: sentences about what went wrong.

    Args:
        compute: the plain computation.
        adapter: its gradient stays where it is from now on.
        device: of the tensors.
        dtype: of the computation.
        recorder: of the device.
        told: where the sentences are added; a list of its own where not given.
    """

    def __init__(
        self,
        compute: Compute,
        adapter: FlatAdapter,
        device: torch.device,
        dtype: torch.dtype,
        recorder: Recorder | None = None,
        told: list[str] | None = None,
    ) -> None:
        self._compute = compute
        self._adapter = adapter
        self._device = device
        self._same = _SAME[dtype]
        self._recorder = recorder or recorder_of(device)
        self._factor, self._loss = scalar(device), scalar(device)
        self._uses: Counter[CutForm] = Counter()
        self._recorded: dict[CutForm, _Recorded] = {}
        self._plain: set[CutForm] = set()
        self._places: Hashable = None
        self._off = False
        self._left_out = False
        self.told: list[str] = [] if told is None else told
        adapter.keep()

    @property
    def recorded(self) -> int:
        """Forms that are replayed."""
        return len(self._recorded)

    def begin(self, factor: Tensor, places: Hashable) -> None:
        """Before the first cut of a step.

        Args:
            factor: of its gradients, an fp32 scalar.
            places: where all lies that a recording reads besides; and what else it depends on.
        """
        self._factor.copy_(factor)
        if places != self._places:
            self._places = places
            self._recorded.clear()

    def add_gradients(self, batch: MicroBatch) -> Tensor | None:
        """Add a micro-batch's gradients by a recording; its loss. None: there is none of its form.

        The loss is overwritten by the next cut.
        """
        if self._off:
            return None
        form = CutForm.of(batch)
        self._uses[form] += 1
        found = self._recorded.get(form)
        if found is None:
            if self._uses[form] < _USES or len(self._recorded) >= _MOST or form in self._plain:
                return None
            if (found := self._try(form, batch)) is None:
                return None
        self._adapter.collected()
        found.inputs.fill(batch)
        found.recording.replay()
        return self._loss

    def usable(self, recordable: bool) -> bool:
        """Whether this model's cuts can be recorded, as given; says so, once, where they cannot."""
        if not recordable and not self._left_out:
            self.told.append(
                "Cuts are computed without CUDA graphs: the base's layers or its adapter are not of the kinds that are "
                "recorded (no base in 4 bits, no dropout, positions that depend on nothing else)."
            )
        self._left_out = not recordable
        return recordable

    def give_up(self, reason: str) -> None:
        """Let go of all recordings and make no more; says so where there were any."""
        if self._recorded and not self._off:
            self.told.append(
                f"CUDA graphs are off from now on: {reason}. step.graphs=never leaves them out."
            )
        self._off = self._off or bool(self._recorded)
        self._recorded.clear()

    def _try(self, form: CutForm, batch: MicroBatch) -> _Recorded | None:
        gradient = self._adapter.collected()
        before = gradient.clone()
        try:
            self._recorded[form] = found = self._record(batch, gradient)
        except _NotFinite:
            return None  # a loss scale that is too large, most likely: at its next use
        except _Differs as error:
            self._end(str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                self._end(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            else:
                self._plain.add(form)
                self.told.append(
                    f"A cut of {form.rows} x {form.length} tokens is not recorded as a CUDA graph: there is no memory "
                    "for it."
                )
        else:
            return found
        finally:
            gradient.copy_(before)
        return None

    def _end(self, reason: str) -> None:
        self._off = True
        self._recorded.clear()
        self.told.append(
            f"CUDA graphs cannot be used here, and are off: {reason}. step.graphs=never leaves them out."
        )

    def _record(self, batch: MicroBatch, gradient: Tensor) -> _Recorded:
        inputs = StaticInputs(batch, self._device)
        inputs.fill(batch)

        def work() -> None:
            self._loss.copy_(self._compute(inputs.batch, inputs.tensors, self._factor))

        self._done(work, gradient)  # chooses kernels
        expected, loss = self._done(work, gradient)
        if not math.isfinite(length := float(torch.linalg.vector_norm(expected))):
            raise _NotFinite
        recording = self._recorder.record(work)
        found, replayed = self._done(recording.replay, gradient)
        apart = float(torch.linalg.vector_norm(found - expected))
        losses = float(loss), float(replayed)
        # Written so that a number that is none is a difference too.
        if not (
            apart <= self._same * length
            and abs(losses[0] - losses[1]) <= self._same * max(1.0, abs(losses[0]))
        ):
            raise _Differs(
                f"replayed, a cut has a loss of {losses[1]:.6g} instead of {losses[0]:.6g}, and its gradient is "
                f"{apart:.2g} off, of {length:.2g}"
            )
        return _Recorded(inputs, recording)

    def _done(self, work: Work, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and loss of the work alone."""
        gradient.zero_()
        work()
        return gradient.clone(), self._loss.clone()


class _NotFinite(Exception):
    """The gradient is not a number."""


class _Differs(Exception):
    """A replay gives something else."""
