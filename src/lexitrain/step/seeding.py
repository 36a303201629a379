"""Random numbers of one step (dropout), as a function of the seed, the step and the process alone.

So a resumed run needs no state of a generator, and a step that is done again draws the same.
"""

from __future__ import annotations

import numpy as np
import torch


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed PyTorch for one step, so that its dropout depends on nothing that came before it.

    Each further process (`rank` above 0) draws its own.
    """
    entropy = [seed, step, rank] if rank else [seed, step]
    words = np.random.SeedSequence(entropy).generate_state(2)
    torch.manual_seed(int(words[0]) << 31 ^ int(words[1]))
