"""Which model a learner gets: a hash decides, so that nothing has to be remembered.

The share of the hash's range below `ratio` is arm a. The same learner gets the same arm in every request, on every
server and after every restart; who gets which arm in one experiment says nothing about another one, as the experiment's
name and its own salt go into the hash (HMAC-SHA-256, RFC 2104).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal, get_args

Arm = Literal["a", "b"]
ARMS: tuple[Arm, ...] = get_args(Arm)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Attributes:
    experiment: its name.
    salt: drawn once for the experiment; without it nobody can work out a learner's arm.
    ratio: the share of learners that arm a gets, between 0 and 1.
    """

    experiment: str
    salt: bytes
    ratio: float = 0.5

    def arm(self, learner: str) -> Arm:
        """The arm of a learner, by his opaque id."""
        name = self.experiment.encode()
        said = len(name).to_bytes(4, "big") + name + learner.encode()
        place = int.from_bytes(hmac.digest(self.salt, said, hashlib.sha256)[:8], "big")
        return "a" if place < self.ratio * 2**64 else "b"


def other(arm: Arm) -> Arm:
    """The other one."""
    return "b" if arm == "a" else "a"
