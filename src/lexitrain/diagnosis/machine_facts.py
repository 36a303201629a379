"""What this machine is, as far as a diagnosis asks: GPUs by the driver and by PyTorch, processors, memory, load.

Facts are read here and passed to what judges them, so that every judgement can be tried on any machine.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

import torch

from lexitrain.planning import free_memory, has_apple_gpu, threads
from lexitrain.storage import launcher_number, usable_cores
from lexitrain.training import NotebookMachine, this_machine

_PATIENCE = 10.0
_ASKED = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True, slots=True)
class SeenGpu:
    """A GPU that PyTorch can use.

    Attributes:
        name: as the driver tells it.
        capability: compute capability.
        free, total: memory, bytes.
    """

    name: str
    capability: tuple[int, int]
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """This machine.

    Attributes:
        driver_gpus: names of the GPUs that nvidia-smi lists.
        driver: version of their driver; empty where there is none.
        torch: version of PyTorch.
        torch_cuda: version of the CUDA that PyTorch was built with; None for a build without one.
        gpus: those that PyTorch can use, of NVIDIA.
        apple: whether there is a GPU of Apple's, which nothing is trained on.
        cores: processors that this process may use.
        all_cores: processors of the machine.
        threads: that PyTorch computes with.
        processes: that a launcher has started for this run.
        free: memory of the machine that can still be taken, bytes.
        notebook: the notebook machine that this is, if it is one.
    """

    driver_gpus: tuple[str, ...] = ()
    driver: str = ""
    torch: str = ""
    torch_cuda: str | None = None
    gpus: tuple[SeenGpu, ...] = ()
    apple: bool = False
    cores: int = 1
    all_cores: int = 1
    threads: int = 1
    processes: int = 1
    free: int = 0
    notebook: NotebookMachine | None = None

    @classmethod
    def here(cls) -> MachineFacts:
        """The machine at hand. Asking nvidia-smi takes a second where there is one."""
        listed = _driver_lists()
        return cls(
            driver_gpus=tuple(name for name, _ in listed),
            driver=listed[0][1] if listed else "",
            torch=torch.__version__,
            torch_cuda=torch.version.cuda,
            gpus=_torch_gpus(),
            apple=has_apple_gpu(),
            cores=usable_cores(),
            all_cores=os.cpu_count() or 1,
            threads=threads(),
            processes=launcher_number("WORLD_SIZE", 1),
            free=free_memory(torch.device("cpu")),
            notebook=this_machine(),
        )


def _driver_lists() -> list[tuple[str, str]]:
    try:
        done = subprocess.run(_ASKED, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = (line.rpartition(",") for line in done.stdout.splitlines() if "," in line)
    return [(name.strip(), driver.strip()) for name, _, driver in lines]


def _torch_gpus() -> tuple[SeenGpu, ...]:
    if not torch.cuda.is_available():
        return ()
    found: list[SeenGpu] = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_properties(number).name
        found.append(SeenGpu(name, torch.cuda.get_device_capability(number), free, total))
    return tuple(found)
