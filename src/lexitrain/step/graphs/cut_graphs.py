"""Cuts of a few forms, each recorded when it has come by often enough, and replayed from then on.

A recording is used only where its first replay gives the loss and the gradient that the plain computation gives;
whatever goes wrong with one ends in the plain computation, and is told. Cuts of validations are recorded apart, without
gradients. A recording reads the adapter, the base and the gradient where they lay when it was made: where one of them
has moved, all are dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lexitrain.batching import MOST_RECORDED
from lexitrain.step.graphs.recording import Recorder, Recording, Work, recorder_of
from lexitrain.step.graphs.static_inputs import CutForm, StaticInputs, scalar
from lexitrain.step.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from lexitrain.batching import MicroBatch
    from lexitrain.step.attention import BatchTensors
    from lexitrain.step.update.flat_adapter import FlatAdapter

Compute = Callable[["MicroBatch", "BatchTensors", Tensor], Tensor]
"""The loss of a micro-batch with these tensors, detached; where it has gradients, these are added, times a factor."""

_USES = 3
"""A form is recorded when it comes by for this time: recording takes as long as some steps."""
_SAME = {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 1e-2}
"""By how much, relative to its length, a replayed gradient may differ: sums are not always taken in the same order."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    inputs: StaticInputs
    recording: Recording


class CutGraphs:
    """The recordings of one computation.

    Attributes:
        told: sentences about what went wrong.

    Args:
        compute: the plain computation.
        adapter: its gradient stays where it is from now on; None where no gradient is computed.
        device: of the tensors.
        dtype: of the computation.
        recorder: of the device.
        told: where the sentences are added; a list of its own where not given.
    """

    def __init__(
        self,
        compute: Compute,
        adapter: FlatAdapter | None,
        device: torch.device,
        dtype: torch.dtype,
        recorder: Recorder | None = None,
        told: list[str] | None = None,
    ) -> None:
        self._compute = compute
        self._adapter = adapter
        self._device = device
        self._dtype = dtype
        self._same = _SAME[dtype]
        self._recorder = recorder or recorder_of(device)
        self._factor, self._loss = scalar(device), scalar(device)
        self._uses: Counter[CutForm] = Counter()
        self._recorded: dict[CutForm, _Recorded] = {}
        self._plain: set[CutForm] = set()
        self._places: Hashable = None
        self._off = False
        self._left_out = False
        self._together: list[CutGraphs] = [self]
        self.told: list[str] = [] if told is None else told
        if adapter is not None:
            adapter.keep()

    def of_losses(self, compute: Compute) -> CutGraphs:
        """Recordings of a computation without gradients, in the same memory: they are never replayed together."""
        found = CutGraphs(compute, None, self._device, self._dtype, self._recorder, self.told)
        found._together = self._together
        self._together.append(found)
        return found

    @property
    def recorded(self) -> int:
        """Forms that are replayed."""
        return len(self._recorded)

    def begin(self, factor: Tensor | None, places: Hashable) -> None:
        """Before the first cut of a step or a validation.

        Args:
            factor: of its gradients, an fp32 scalar; None where there are none.
            places: where all lies that a recording reads besides; and what else it depends on.
        """
        if factor is not None:
            self._factor.copy_(factor)
        if places != self._places:
            self._places = places
            self._recorded.clear()

    def replayed(self, batch: MicroBatch) -> Tensor | None:
        """A micro-batch's loss, and its gradients added, by a recording. None: there is none of its form.

        The loss is overwritten by the next cut.
        """
        if self._off:
            return None
        form = CutForm.of(batch)
        self._uses[form] += 1
        found = self._recorded.get(form)
        if found is None:
            if (
                self._uses[form] < _USES
                or len(self._recorded) >= MOST_RECORDED
                or form in self._plain
            ):
                return None
            self._before_smaller_ones(form)
            if (found := self._try(form, batch)) is None:
                return None
        self._gradient()
        found.inputs.fill(batch)
        found.recording.replay()
        return self._loss

    def usable(self, recordable: bool) -> bool:
        """Whether this model's cuts can be recorded, as given; of a step's says so, once, where they cannot."""
        if not recordable and not self._left_out and self._adapter is not None:
            self._tell(
                "Cuts are computed without CUDA graphs: the base's layers or its adapter are not of the kinds that are "
                "recorded (no base in 4 bits, no dropout, positions that depend on nothing else)."
            )
        self._left_out = not recordable
        return recordable

    def give_up(self, reason: str) -> None:
        """Let go of all recordings and make no more; says so where there were any."""
        if self._recorded and not self._off:
            self._tell(
                f"CUDA graphs are off from now on: {reason}. step.graphs=never leaves them out."
            )
        self._off = self._off or bool(self._recorded)
        self._recorded.clear()

    def _need(self, form: CutForm) -> tuple[bool, int, int]:
        """Larger for a form that takes more memory: one with gradients, of more positions, of more scored ones."""
        return self._adapter is not None, form.rows * form.length, form.scored

    def _before_smaller_ones(self, form: CutForm) -> None:
        """Let all recordings go where this form needs more memory than each of them; they are made anew after it.

        A pool only grows by pieces, and what needs large ones finds no use for the small ones that are there already.
        Whatever needs less fits into what the largest has left.
        """
        held = [each._need(known) for each in self._together for known in each._recorded]
        if held and self._need(form) > max(held):
            for each in self._together:
                each._recorded.clear()

    def _try(self, form: CutForm, batch: MicroBatch) -> _Recorded | None:
        gradient = self._gradient()
        before = None if gradient is None else gradient.clone()
        try:
            self._recorded[form] = found = self._record(batch)
        except _NotFinite:
            return None  # a loss scale that is too large, most likely: at its next use
        except _Differs as error:
            self._end(str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                self._end(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            else:
                self._plain.add(form)
                self._tell(
                    f"A cut of {form.rows} x {form.length} tokens is not recorded as a CUDA graph: there is no memory "
                    "for it."
                )
        else:
            return found
        finally:
            if gradient is not None and before is not None:
                gradient.copy_(before)
        return None

    def _gradient(self) -> Tensor | None:
        return None if self._adapter is None else self._adapter.collected()

    def _tell(self, sentence: str) -> None:
        if sentence not in self.told:
            self.told.append(sentence)

    def _end(self, reason: str) -> None:
        self._off = True
        self._recorded.clear()
        self._tell(
            f"CUDA graphs cannot be used here, and are off: {reason}. step.graphs=never leaves them out."
        )

    def _record(self, batch: MicroBatch) -> _Recorded:
        inputs = StaticInputs(batch, self._device)
        inputs.fill(batch)

        def work() -> None:
            self._loss.copy_(self._compute(inputs.batch, inputs.tensors, self._factor))

        self._done(work)  # chooses kernels
        expected, loss = self._done(work)
        length = float(torch.linalg.vector_norm(expected))
        if not (math.isfinite(length) and math.isfinite(loss)):
            raise _NotFinite
        recording = self._recorder.record(work)
        found, replayed = self._done(recording.replay)
        apart = float(torch.linalg.vector_norm(found - expected))
        # Written so that a number that is none is a difference too.
        if not (
            apart <= self._same * length
            and abs(loss - replayed) <= self._same * max(1.0, abs(loss))
        ):
            raise _Differs(
                f"replayed, a cut has a loss of {replayed:.6g} instead of {loss:.6g}, and its gradient is "
                f"{apart:.2g} off, of {length:.2g}"
            )
        return _Recorded(inputs, recording)

    def _done(self, work: Work) -> tuple[Tensor, float]:
        """Gradient (of no numbers, where none is computed) and loss of the work alone."""
        gradient = self._gradient()
        if gradient is None:
            gradient = self._loss.new_zeros(0)
        gradient.zero_()
        self._loss.fill_(math.nan)  # which a replay that does nothing would leave
        work()
        return gradient.clone(), float(self._loss)


class _NotFinite(Exception):
    """The loss or the gradient is not a number."""


class _Differs(Exception):
    """A replay gives something else."""
