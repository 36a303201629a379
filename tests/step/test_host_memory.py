"""What a step frees is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from lexitrain.step.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults(numbers):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(numbers).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(30_000_000)
print(faults(25_000_000))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_memory_that_was_freed_costs_no_page_faults():
    """100 MB are 24,000 pages of 4 kB; without the setting every step gets all of them anew."""
    found = {}
    for mode in ("keep", "usual"):
        run = subprocess.run(
            [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
        )
        found[mode] = int(run.stdout)
    assert found["keep"] < 1_000
    assert found["keep"] < found["usual"] / 10
