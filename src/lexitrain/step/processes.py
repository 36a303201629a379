"""The processes that train one run together: who does what, and the few moments at which they wait for each other.

There is no wrapper around the model. Each process computes the gradient of its share of a step's micro-batches; one
sum over all processes, of all adapter gradients in one flat fp32 buffer, makes it that of the whole step. So shares may
be uneven, a process may have none, and any number of processes gives the gradient of one, to rounding. Process 0
writes; the others follow the same decisions because every decision is made from numbers that all of them share.

A launcher (`torchrun`, `accelerate launch`) says in RANK, WORLD_SIZE and LOCAL_RANK who this process is. Without them
it is alone, and every method returns at once what it was given.

Small values travel over gloo on the CPU, gradients over NCCL where there are GPUs. Before each gradient sum all
processes meet over gloo, so that one that has died is noticed there, where its closed connection is an error and not a
hang. All memory that the sum takes is allocated before, where a process that has too little can still say so to the
others.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, distributed

from lexitrain.errors import DeviceError, InputError, Stopped
from lexitrain.step.out_of_memory import is_out_of_memory
from lexitrain.storage import launcher_number

if TYPE_CHECKING:
    from lexitrain.step.update.flat_adapter import FlatAdapter

T = TypeVar("T")

#: How long a process waits for the others. A dead one is noticed at once; this is for one that hangs. It must outlast
#: the slowest thing that process 0 does alone, which is a checkpoint written to a mounted drive.
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of its run. The default is the only one.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
        local_rank: number of this process on its machine, which is the number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """True for the process that writes files and reports."""
        return self.rank == 0

    def device(self) -> torch.device:
        """This process's own GPU, or the CPU where there is none."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        # A launcher may show each process its own GPU alone; two on one are refused where they meet.
        device = torch.device("cuda", self.local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device

    def any(self, flag: bool) -> bool:
        """True everywhere when `flag` is true anywhere."""
        return self.largest(int(flag)) > 0

    def largest(self, value: int) -> int:
        """The largest of all processes' values, everywhere."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.int64)
        with _or_stop():
            distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared.item())

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes of each value, in fp64, everywhere."""
        if self.count == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64)
        with _or_stop():
            distributed.all_reduce(shared)
        return shared.tolist()

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, everywhere; only there is it called.

        An error of `make` is raised in the first process alone; the others then find that it has ended.
        """
        if self.count == 1:
            return make()
        shared = [make() if self.first else None]
        with _or_stop():
            distributed.broadcast_object_list(shared, device=torch.device("cpu"))
        value: T = shared[0]  # pyright: ignore[reportAssignmentType]
        return value

    def gradient_buffer(self, adapter: FlatAdapter, loss: Tensor) -> Tensor:
        """What `sum_gradients` takes: this process's gradients and loss in one buffer; alone, the loss itself.

        It is there before the processes meet, because it takes memory.

        Args:
            adapter: its gradient; a tensor without one counts as zero.
            loss: a scalar on its device.
        """
        return loss if self.count == 1 else adapter.beside(loss)

    def sum_gradients(self, adapter: FlatAdapter, flat: Tensor) -> Tensor:
        """Replace every gradient by its sum over all processes; returns that of the losses.

        Args:
            adapter: whose gradients they are.
            flat: its `gradient_buffer`, summed in place.

        Raises:
            Stopped: another process has ended, or memory ran out in the sum itself.
        """
        if self.count == 1:
            return flat
        with _or_stop():
            distributed.all_reduce(flat)
        adapter.point()
        return flat[-1]


@contextmanager
def joined_processes() -> Generator[Processes]:
    """Meet the other processes that the launcher started, for as long as a run lasts; alone without a launcher.

    Raises:
        InputError: what the launcher says of them contradicts itself, or not where they meet.
        Stopped: the others cannot be reached.
        DeviceError: two of them have the same GPU.
    """
    count = launcher_number("WORLD_SIZE", 1)
    if count == 1 or not os.environ.get("RANK", "").strip():
        yield Processes()
        return
    processes = Processes(
        rank := launcher_number("RANK", 0), count, launcher_number("LOCAL_RANK", rank)
    )
    _require_meeting_point()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    processes.device()  # NCCL takes the current device
    with _or_stop():
        distributed.init_process_group(
            backend, rank=processes.rank, world_size=count, timeout=PATIENCE
        )
        if torch.cuda.is_available():
            places: list[str | None] = [None] * count
            distributed.all_gather_object(places, _place(processes.device()))
            require_own_gpus([str(each) for each in places])
    yield processes
    # Left open after an error: closing would wait for processes that may be gone.
    distributed.destroy_process_group()


def _place(device: torch.device) -> str:
    """A GPU as all processes know it: its machine and its own number, whatever the processes call it."""
    return f"{platform.node()} {torch.cuda.get_device_properties(device).uuid}"


def require_own_gpus(places: Sequence[str]) -> None:
    """Nothing, when each process has a GPU of its own.

    Args:
        places: of the GPU of each process, by its rank.

    Raises:
        DeviceError: two have the same.
    """
    for rank, place in enumerate(places):
        if place in places[:rank]:
            raise DeviceError(
                f"Processes {places.index(place)} and {rank} have the same GPU ({place}).",
                where="torchrun --nproc-per-node",
                fix="Start as many processes on a machine as it has GPUs.",
            )


def _require_meeting_point() -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name, "").strip():
            raise InputError(
                "WORLD_SIZE and RANK name several processes, and this does not say where they meet.",
                where=f"environment variable {name}",
                fix="Start them with torchrun, or for one process delete both: unset WORLD_SIZE RANK",
            )


@contextmanager
def _or_stop() -> Generator[None]:
    """What a lost process means for the run, and memory that runs out where the processes meet.

    The latter must not be tried again by the one process that it happens to: the others are past that place, or wait in
    it. Its end is what tells them.
    """
    try:
        yield
    except (
        MemoryError,
        RuntimeError,
    ) as error:  # DistError and gloo's own errors are RuntimeErrors
        if is_out_of_memory(error):
            raise Stopped(
                "Memory ran out where the processes exchange their gradients. What was saved is intact.",
                fix="Free memory, or use fewer processes on this device, and run the same command again: it goes on "
                "from the newest checkpoint.",
            ) from error
        raise Stopped(
            "Another process of this run has ended or does not answer. What was saved is intact.",
            fix="Its own message says why. Run the same command again: it goes on from the newest checkpoint, "
            "with any number of processes.",
        ) from error
