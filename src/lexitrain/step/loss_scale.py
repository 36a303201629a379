"""The factor that keeps gradients of fp16 computation from vanishing (Micikevicius et al. 2018, arXiv:1710.03740).

Numbers below 6e-8 are zero in fp16, and most gradients of a large model are. The loss is multiplied by a large factor
before the backward pass and the gradients, which are fp32 in the adapter, are divided by it afterwards. Where a
gradient overflows, the factor is halved and the *same step is computed again*: no step is lost, and a gradient that is
still no number at factor 1 is a real fault. After many steps in a row without overflow the factor is doubled.

Besides those of PyTorch's GradScaler (first factor, halving, doubling after 2,000 steps) nothing is state of a single
step, so that a step may be repeated for any other reason too. The factor belongs in every checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 65_536.0
_STEPS_UNTIL_DOUBLED = 2000
_SMALLEST = 1.0
_LARGEST = 2.0**24
"""fp16's smallest number is 2**-24; under this factor it stands for a gradient of 2**-48, far below what moves a
weight, so that doubling on would gain nothing."""


@dataclass
class LossScale:
    """The factor of one run.

    Attributes:
        factor: what losses are multiplied by; 1 where the computation is not in fp16.
        steady: steps since the factor last changed.
        used: whether losses are scaled at all. A factor that has come down to 1 is still in use, and grows again.
    """

    factor: float = 1.0
    steady: int = 0
    used: bool = False

    def __post_init__(self) -> None:
        self.used = self.used or self.factor != 1.0

    def again(self, norm: float) -> bool:
        """Whether a step with this gradient norm is to be computed again, with the factor that is then set."""
        if math.isfinite(norm) or not self.used or self.factor <= _SMALLEST:
            return False
        self.factor, self.steady = self.factor / 2, 0
        return True

    def stepped(self) -> None:
        """A step was made with this factor."""
        if not self.used:
            return
        self.steady += 1
        if self.steady == _STEPS_UNTIL_DOUBLED:
            self.factor, self.steady = min(self.factor * 2, _LARGEST), 0
