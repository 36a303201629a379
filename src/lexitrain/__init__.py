"""LexiTrain plans, trains, proves and ships a small tutor model on a budget GPU.

The commands are thin: what they do is a function here, described in docs/api.md. Names are fetched from their rooms
when they are first asked for (`__init__.pyi` lists them), so that importing the package costs nothing and only what
needs torch loads it.

Importing it sets one variable of the environment, GOMP_SPINCOUNT, unless the user has said how threads are to wait:
see `_threads_wait_briefly`.
"""

# lazy_loader has no types of its own; what it attaches is typed by the stub beside this file.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

import os
import sys

import lazy_loader

__version__ = "0.2.0"

_SAID_BY_THE_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")


def _threads_wait_briefly() -> None:
    """Let torch's threads give their cores back sooner where they wait for each other.

    At the end of every parallel piece of work OpenMP's threads spin until the last one is done. On a machine with other
    work the last one waits for a core that the others only spin on, and training falls to a fraction of its speed
    (`benchmarks/busy_machine.py`). GNU's OpenMP, which torch uses on Linux, reads GOMP_SPINCOUNT once, when torch is
    imported: a third of its own 300,000 turns costs nothing where the cores are free.

    The command line, a program that imports lexitrain, worker processes and those that a launcher starts all come
    through here. Nothing happens where the user has set one of OpenMP's own variables for this, or where torch was
    imported before lexitrain.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _SAID_BY_THE_USER):
        os.environ["GOMP_SPINCOUNT"] = "100000"


_threads_wait_briefly()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
