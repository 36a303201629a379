"""This machine's processor, as far as a plan needs it."""

from __future__ import annotations

import psutil
import pytest

from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.devices.processor import processor, threads, with_installed_memory


def test_a_cpu_has_the_memory_of_this_machine_and_a_gpu_its_own():
    assert with_installed_memory(find_gpu("CPU")).memory == psutil.virtual_memory().total / 1e9
    assert with_installed_memory(find_gpu("T4")) == find_gpu("T4")


def test_threads_are_those_that_were_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    assert processor().endswith("3 threads")
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert 1 <= threads() <= (psutil.cpu_count() or 1)
