"""An optimizer that moves all trained tensors at once, and whose state reads as if it moved each for itself.

The numbers are those of the optimizer that it is made of, tensor by tensor: AdamW looks at no more than one number,
its 8-bit form at 256 of them, and no two tensors share such a block. A tensor so small that bitsandbytes keeps its
state in 32 bits keeps it so. What a checkpoint holds does not change: `state` has each tensor's own part, as a view.

A step in which some tensors have no gradient, such as those of an expert that no token was sent to, leaves these as
they are, count of steps included. From then on every tensor is moved for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from lexitrain.step.update.flat_adapter import FlatAdapter, Part, adapter_order

BLOCK = 256
"""Numbers that share a scale in bitsandbytes' 8-bit state."""
SMALLEST_8BIT = 4096
"""Tensors with fewer numbers keep their state in 32 bits (its argument `min_8bit_size`)."""

_SHARED = ("qmap1", "qmap2")
"""Keys of its quantization maps, which all tensors share."""
_SCALES = "absmax"
"""How the keys of its scales begin, one a block."""

Groups = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """How the optimizer is made.

    Attributes:
        make: of groups of parameters; with `wide`, state in 32 bits whatever their size.
        eight_bit: whether state is in 8 bits where tensors are large enough.
    """

    make: Callable[[Groups, bool], Optimizer]
    eight_bit: bool

    def small(self, parameter: Tensor) -> bool:
        """Whether its state is in 32 bits though that of others is in 8."""
        return self.eight_bit and parameter.numel() < SMALLEST_8BIT


@dataclass(slots=True, eq=False)
class _Region:
    """Tensors of one group that lie one behind the other and have state of the same kind.

    Attributes:
        whole: all of them as one parameter.
        start, end: where in the buffer.
        group: number of their group.
        members: they and where they lie.
        optimizer: that moves them.
    """

    whole: Parameter
    start: int
    end: int
    group: int
    members: list[tuple[Parameter, Part]]
    optimizer: Optimizer

    def part(self, key: str, value: Any, part: Part) -> Any:
        """A member's part of one value of the state. By its name: a quantization map is as long as 65,536 numbers have
        scales."""
        if not isinstance(value, Tensor) or not value.ndim or key in _SHARED:
            return value
        start, end = part.start - self.start, part.end - self.start
        if key.startswith(_SCALES):
            return value[start // BLOCK : -(-end // BLOCK)]
        return value[start:end].view(part.shape)


class FlatOptimizer(Optimizer):
    """AdamW in any variant over tensors that lie in one buffer.

    Attributes:
        flat: the buffer.

    Args:
        groups: of the tensors, with what else a group has; in the order in which they shall lie.
        kind: of optimizer.
        rate: learning rate.
    """

    def __init__(self, groups: Groups, kind: Kind, rate: float) -> None:
        super().__init__(groups, {"lr": rate})
        self._kind = kind
        self._apart: Optimizer | None = None
        self._lay_out()

    def arrange(self, order: Callable[[Parameter], int]) -> None:
        """Let tensors lie by this order within their groups. Their numbers and their state stay what they are."""
        wanted = [sorted(group["params"], key=order) for group in self.param_groups]
        now = [[id(each) for each in group["params"]] for group in self.param_groups]
        if self._apart is not None or now == [[id(each) for each in group] for group in wanted]:
            return
        before = dict(self.state)
        for group, parameters in zip(self.param_groups, wanted, strict=True):
            group["params"] = parameters
        self._lay_out()
        for each, state in before.items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    self.state[each][key].copy_(value)
                else:
                    self.state[each][key] = value

    def _lay_out(self) -> None:
        kind = self._kind
        placed = [
            (number, kind.small(each), each)
            for number, group in enumerate(self.param_groups)
            for each in sorted(group["params"], key=kind.small)
        ]
        self.flat = FlatAdapter(
            [each for _, _, each in placed],
            [BLOCK if kind.eight_bit and not small else 1 for _, small, _ in placed],
        )
        self._regions = self._regions_of(placed)
        for region in self._regions:
            state = region.optimizer.state[region.whole]
            for member, part in region.members:
                self.state[member] = {
                    key: region.part(key, each, part) for key, each in state.items()
                }

    def _regions_of(self, placed: Sequence[tuple[int, bool, Parameter]]) -> list[_Region]:
        runs: dict[tuple[int, bool], list[Parameter]] = {}
        for number, small, each in placed:
            runs.setdefault((number, small), []).append(each)
        regions: list[_Region] = []
        for (number, small), members in runs.items():
            parts = [self.flat.known_part(each) for each in members]
            start, end = parts[0].start, parts[-1].end
            whole = Parameter(self.flat.values[start:end])
            optimizer = self._kind.make([self._alone(number, [whole])], small)
            allocate_state(optimizer)
            _fill_gaps(optimizer.state[whole], parts)
            regions.append(
                _Region(
                    whole, start, end, number, list(zip(members, parts, strict=True)), optimizer
                )
            )
        return regions

    def _alone(self, number: int, parameters: list[Parameter]) -> dict[str, Any]:
        return {**self.param_groups[number], "params": parameters}

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: ARG002 (there is one way)
        """Let go of all gradients."""
        self.flat.drop()

    def split(self) -> None:
        """Move each tensor for itself from now on, with a state of its own."""
        if self._apart is not None:
            return
        groups = [
            self._alone(number, group["params"]) for number, group in enumerate(self.param_groups)
        ]
        self._apart = self._kind.make(groups, False)
        for members in (region.members for region in self._regions):
            for each, _ in members:
                self._apart.state[each] = self.state[each] = {
                    key: value.clone()
                    if isinstance(value, Tensor) and key not in _SHARED
                    else value
                    for key, value in self.state[each].items()
                }
        self._regions = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move all tensors by their gradients; those without one stay."""
        assert closure is None
        given = [each.grad is not None for each in self.flat.parameters]
        if not any(given):
            return
        if not all(given):
            self.split()
        if self._apart is not None:
            for group, own in zip(self._apart.param_groups, self.param_groups, strict=True):
                group["lr"] = own["lr"]
            self._apart.step()
            return
        gradient, values = self.flat.collect(), self.flat.values
        for region in self._regions:
            region.whole.data = values[region.start : region.end]
            region.whole.grad = gradient[region.start : region.end]
            self._move(region)
            region.whole.grad = None
        if any(getattr(region.optimizer, "is_paged", False) for region in self._regions):
            _wait(values.device)

    def _move(self, region: _Region) -> None:
        optimizer: Any = region.optimizer
        (group,) = optimizer.param_groups
        group["lr"] = self.param_groups[region.group]["lr"]
        state = optimizer.state[region.whole]
        counted = isinstance(state["step"], int)
        if counted:  # a number, which a checkpoint may have put into the members' state
            state["step"] = self.state[region.members[0][0]]["step"]
        if hasattr(optimizer, "update_step"):
            # bitsandbytes' own loop waits for the device after every tensor.
            optimizer.prefetch_state(region.whole)
            optimizer.update_step(group, region.whole, 0, 0)
        else:
            optimizer.step()
        if counted:
            for member, _ in region.members:
                self.state[member]["step"] = state["step"]


def in_one_buffer(model: torch.nn.Module, optimizer: Optimizer) -> FlatAdapter:
    """The trained tensors of an optimizer in one buffer, in the order of their names."""
    orders = {id(each): adapter_order(name) for name, each in model.named_parameters()}
    if isinstance(optimizer, FlatOptimizer):
        optimizer.arrange(lambda each: orders[id(each)])
        return optimizer.flat
    moved = [each for group in optimizer.param_groups for each in group["params"]]
    return FlatAdapter(sorted(moved, key=lambda each: orders[id(each)]))


def _fill_gaps(state: dict[str, Any], parts: Sequence[Part]) -> None:
    """Let 8-bit state between tensors stand for zero, whatever scale its block comes to have.

    It shares the block of the tensor before it. New state is the code 0, which stands for the scale itself, negative:
    beside the state of a checkpoint it would be the largest number of the block.
    """
    for number in "12":
        if (codes := state.get(f"qmap{number}")) is None:
            continue
        zero, whole = int(codes.abs().argmin()), state[f"state{number}"].view(-1)
        for before, after in pairwise(parts):
            first = parts[0].start
            whole[before.end - first : after.start - first] = zero


def _wait(device: torch.device) -> None:
    """Until paged state, which the host may move, is where it belongs."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def allocate_state(optimizer: Optimizer) -> None:
    """Create the optimizer's state as it is before the first step, without moving a weight.

    A step with rate 0 and gradients 0 does that for any AdamW: decay and update are multiplied by the rate, the
    moments stay 0. Then the count of steps is set back.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    for state in optimizer.state.values():
        state["step"] = state["step"] * 0
