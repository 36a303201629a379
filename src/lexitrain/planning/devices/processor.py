"""The processor of this machine: its name, the threads that PyTorch will compute with, and the memory beside it.

Needs no torch, so that a plan for the CPU starts at once.
"""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import number_of
from lexitrain.storage import usable_cores

if TYPE_CHECKING:
    from lexitrain.planning.devices.catalogue import Gpu


def has_apple_gpu() -> bool:
    """Whether this machine has a GPU of Apple's, which nothing is trained on."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def processor() -> str:
    """The processor's model and how many cores this process may use."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {number_of(threads(), 'thread')}"


def threads() -> int:
    """Threads that PyTorch will compute with: OMP_NUM_THREADS, or the cores of this process."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return usable_cores()


def with_installed_memory(gpu: Gpu) -> Gpu:
    """A CPU with the memory of this machine; a GPU as it is."""
    if not gpu.is_cpu:
        return gpu
    from psutil import virtual_memory

    return replace(gpu, memory=virtual_memory().total / 1e9)
