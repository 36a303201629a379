"""The comparison on a GPU, in parts: `benchmarks/gpu.sh`, or `python -m benchmarks.gpu --out FOLDER`.

`benchmarks/gpu_parts.py` has the parts. Each is saved as soon as it is there, so that a run cut short leaves what it
has, and starts only while the time limit leaves it room. A part that fails, or a process of one, is named at the end,
and the exit code is 1. `--dry-run` takes a tiny model on a CPU through the same code.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.compare.comparison import Comparison, Part
from benchmarks.compare.work import Work
from benchmarks.gpu_parts import PARTS
from benchmarks.workload import (
    circumstances,
    described_samples,
    real_data_is_there,
    rendered_samples,
)

LIMIT = 465.0
"""Seconds for everything; gpu.sh says when they began, and ends what still runs at 480."""
RESIDENT_MEMORY = 60e9
"""Bytes of GPU memory from which all competitors fit side by side."""
PATIENCE = 120.0
"""Seconds after which one answer of a competitor's process is no longer waited for."""


@dataclass
class Bench:
    """One run of all parts.

    Attributes:
        out: folder for the results.
        dry: on a CPU with tiny shapes.
        until: time of day by which all must have ended, seconds since the epoch.
        document: what is saved.
    """

    out: Path
    dry: bool
    until: float
    document: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def device(self) -> str:
        """Where everything runs."""
        return "cpu" if self.dry else "cuda"

    @property
    def small(self) -> str:
        """The shape that stands for 0.5B."""
        return "nano" if self.dry else "0.5B"

    @property
    def large(self) -> str:
        """The shape that stands for 1.5B."""
        return "nano" if self.dry else "1.5B"

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self.until - time.time()

    @property
    def resident(self) -> bool:
        """Whether all competitors fit onto the device side by side."""
        return not self.dry and torch.cuda.get_device_properties(0).total_memory >= RESIDENT_MEMORY

    def work(self, shape: str, prompt: int = 0) -> Work:
        """The same samples for all parts."""
        data = "mixture" if real_data_is_there() and not self.dry else "generated"
        return Work(shape=shape, prompt=prompt, device=self.device, data=data)

    def part(self, name: str, needs: float, measure: Callable[[], Any]) -> None:
        """Run a part if `needs` seconds are left, keep what it found or why there is nothing, save."""
        if self.left < needs and not self.dry:
            self.document[name] = {"left_out": f"{self.left:.0f} s left, {needs:.0f} s needed"}
        else:
            begun = time.perf_counter()
            try:
                found = measure()
            except Exception as error:  # whatever it is, the other parts still count
                traceback.print_exc()
                found = {"failed": f"{type(error).__name__}: {error}"[:300]}
            self.document[name] = found
            seconds = time.perf_counter() - begun
            self.document.setdefault("part_seconds", {})[name] = round(seconds, 1)
            print(f"{name}: {seconds:.0f} s of {needs:.0f}", flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document, indent=2) + "\n"
        (self.out / "gpu.json").write_text(text, encoding="utf-8")

    def compared(self, work: Work, parts: list[Part]) -> dict[str, Any]:
        """A comparison, all side by side where the memory allows."""
        if self.dry:
            parts = [Part(part.name, 1, 1, warm_up=0) for part in parts]
        patience = None if self.dry else PATIENCE
        return Comparison(work, parts, resident=self.resident, patience=patience).run()


def failures(found: Any, place: str = "") -> Iterator[str]:
    """Where something failed, as `part: competitor: reason`."""
    if isinstance(found, dict):
        if found.get("failed"):
            yield f"{place}{found['failed']}"
        for name, each in found.items():
            yield from failures(each, f"{place}{name}: ")
    elif isinstance(found, list):
        for each in found:
            yield from failures(each, place)


def main() -> None:
    """All parts in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--until", type=float, help="end by this time, seconds since the epoch")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on a CPU")
    chosen = parser.parse_args()
    if not (chosen.dry_run or torch.cuda.is_available()):
        sys.exit("There is no CUDA device here. Use --dry-run to try the parts on a CPU.")
    bench = Bench(chosen.out, chosen.dry_run, chosen.until or time.time() + LIMIT)
    packages = ("trl", "accelerate", "datasets", "bitsandbytes", "liger-kernel", "triton")
    bench.document = {
        "what": "LexiTrain and other trainers on one GPU, random weights",
        "dry_run": chosen.dry_run,
        **circumstances(*packages),
        "data": bench.work(bench.small).data,
        "samples": described_samples(rendered_samples(bench.work(bench.small).data)[:504]),
    }
    for part in PARTS:
        bench.part(part.name, part.needs, lambda part=part: part.measure(bench))
    failed = list(failures(bench.document))
    print(f"saved {chosen.out / 'gpu.json'}; failed: {'; '.join(failed) or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
