"""The device at hand, as far as a plan needs it: which one of the catalogue it is, and how much memory is free."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

from lexitrain.models import is_ampere_or_later
from lexitrain.planning.devices.catalogue import Gpu, find_gpu, named_like

_CGROUP = Path("/sys/fs/cgroup")
_UNKNOWN = 4.0
"""How far from that of a small card the speed of an unknown one may be, either way. An assumption: an H100 multiplies
eight times as fast as an L4 and reads eleven times as fast, a card for laptops or a share of a quarter is slower."""
_PART = re.compile(r"\bMIG\b|-(?:\d+-)?\d+[ABCQ](?:\d|ME\w*)?$", re.IGNORECASE)
"""Names of slices, and of virtual GPUs: the card, for some the number of slices, the memory in GB and the series (Q and
C for computing, A and B for desktops), as in `GRID T4-16Q` or `GRID A100D-3-20C` (NVIDIA Virtual GPU Software User
Guide, "Virtual GPU Types")."""


def device_at_hand(device: torch.device) -> Gpu:
    """The catalogue's entry for a device, with its own capability and memory.

    What it says of a GPU that is not in the catalogue stands at `gpu_at_hand`.
    """
    if device.type != "cuda":
        return find_gpu("CPU")
    properties = torch.cuda.get_device_properties(device)
    memory = properties.total_memory / 1e9
    found = gpu_at_hand(properties.name, torch.cuda.get_device_capability(device), memory)
    return replace(found, memory=memory)


def gpu_at_hand(name: str, capability: tuple[int, int], memory: float | None = None) -> Gpu:
    """The entry for a GPU, with its own capability.

    One that is not in the catalogue is planned with the speed of a small card of its kind: an L4 where it has bf16,
    else a T4, and a range that says how little that is. Hours and cuts depend on it, memory does not; its name says so.
    A measurement of its own is used instead. So is a part of a card: a slice (MIG) has a part of its units, and how
    much of the time of a shared card a virtual machine gets (vGPU) depends on the others.

    Args:
        name: as the driver reports it.
        capability: compute capability.
        memory: GB that it reports, where known.
    """
    if known := named_like(name, memory):
        return replace(known, capability=capability)
    like = "L4" if is_ampere_or_later(capability) else "T4"
    part = "a part of a card; " if _PART.search(name) else ""
    return replace(
        find_gpu(like),
        name=f"{name} ({part}speed of {like})",
        card=name,
        price=None,
        capability=capability,
        status="catalogue",
        unknown=_UNKNOWN,
    )


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, or of the machine and of the container on it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    from psutil import virtual_memory

    available = int(virtual_memory().available)
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is None or used is None:
        return available
    return min(available, max(0, limit - used))


def _number(path: Path) -> int | None:
    """The number in a file of the system; None where there is no such file or no such limit."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() else None
