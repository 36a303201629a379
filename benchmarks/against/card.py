"""The card, and how much of its memory is taken while a part runs, as `nvidia-smi` says. Standard library only."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

_FIELDS = ("name", "driver_version", "memory.total", "memory.used")
_EVERY = 0.5  # seconds
_PACKAGES = (
    *("torch", "transformers", "peft", "bitsandbytes", "trl", "datasets", "accelerate", "triton", "xformers"),
    *("unsloth", "unsloth_zoo", "lexitrain", "gguf", "xllamacpp"),
)  # fmt: skip


def card() -> dict[str, Any] | None:
    """Name, driver and memory (MiB) of the first card; None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return None
    name, driver, total, used = (part.strip() for part in lines[0].split(","))
    return {
        "name": name,
        "driver": driver,
        "memory_mib": int(total),
        "used_mib": int(used),
    }


def device_name() -> str:
    """The card's name, else the processor's."""
    found = card()
    return processor() if found is None else found["name"]


def processor() -> str:
    """Its name, as the system tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU: {names[0] if names else platform.processor() or platform.machine()}"


def machine() -> dict[str, Any]:
    """What a part ran on, and with which versions."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    found = card()
    return {
        "device": device_name(),
        "driver": None if found is None else found["driver"],
        "memory_mib": None if found is None else found["memory_mib"],
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "load": round(os.getloadavg()[0], 2),  # over the last minute, this part included
        "versions": versions,
    }


class MemoryWatch:
    """While it is open: the most memory of the card that all processes together took, over what was taken before."""

    def __init__(self) -> None:
        found = card()
        self.before = None if found is None else found["used_mib"]
        self.peak = self.before
        self._over = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> MemoryWatch:
        if self.before is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self.before is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            found = card()
            if found is not None:
                self.peak = max(self.peak or 0, found["used_mib"])

    def figures(self) -> dict[str, int]:
        """MiB; empty without a card."""
        if self.before is None or self.peak is None:
            return {}
        return {"nvidia_smi_mib": self.peak - self.before, "nvidia_smi_before_mib": self.before}
