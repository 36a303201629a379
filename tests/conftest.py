"""What every test relies on, however the tests were started."""

from __future__ import annotations

import os
import signal

from tests.small_runs import data_dir, recipe_of, tiny_base

__all__ = ["data_dir", "recipe_of", "tiny_base"]

# The tests' models are so small that a second thread costs more than it brings, most of all on a machine with other
# work. Set before PyTorch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test asks the Hub, nor waits to find out that it cannot be asked.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_configure() -> None:
    """A shell starts what runs in the background with SIGINT ignored, `nohup` with SIGHUP; children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
