"""What a service is told when it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lexitrain.abtest.ranges import LONGEST_WAIT, require_between

LONGEST_TEXT = 20_000
"""Characters of any text of a learner's; a service's own limit is lower."""


@dataclass(frozen=True, slots=True)
class GuardrailLimits:
    """What an arm may do before it is stopped.

    Attributes:
        seconds: that 95 % of its answers may take at most.
        errors: share of requests without an answer.
        invalid: share of answers that their task cannot read.
        least: requests before anything is judged.
        window: newest requests that are looked at.
        chance: an arm is past a limit where an arm exactly at it would show as much with a smaller chance than this
            (exact binomial tail).

    Raises:
        InputError: a limit that no arm could be past, or that any would be.
    """

    seconds: float = 10.0
    errors: float = 0.10
    invalid: float = 0.20
    least: int = 50
    window: int = 200
    chance: float = 1e-4

    def __post_init__(self) -> None:
        require_between(self.least, 1, 100_000, "least", "number of requests before it is judged")
        require_between(self.window, self.least, 100_000, "window", "number of newest requests")
        require_between(self.chance, 1e-12, 0.1, "chance", "chance to stop an arm at its limit")
        require_between(self.seconds, 1e-3, LONGEST_WAIT, "--max-p95", "limit in seconds")
        # Beyond this even requests that all fail would not be past the limit.
        most = math.floor(100 * self.chance ** (1 / self.window)) / 100
        require_between(self.errors, 1e-6, most, "--max-errors", "limit of a share")
        require_between(self.invalid, 1e-6, most, "--max-invalid", "limit of a share")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much may be asked.

    Attributes:
        learner: requests a minute of one learner; 0: any number.
        address: requests a minute of one address (of IPv6 a /64); 0: any number. Wrong tokens have their own.
        text: characters of a learner's text.
        body: bytes of a request.
        body_seconds: until it is there.
        at_once: requests under way at one arm; more are turned away, and counted as the arm's errors.

    Raises:
        InputError: a limit that is none.
    """

    learner: int = 30
    address: int = 600
    text: int = 2000
    body: int = 65_536
    body_seconds: float = 10.0
    at_once: int = 64

    def __post_init__(self) -> None:
        require_between(self.learner, 0, 1e6, "--per-learner", "number of requests a minute")
        require_between(self.address, 0, 1e6, "--per-address", "number of requests a minute")
        require_between(self.text, 1, LONGEST_TEXT, "text", "number of characters")
        require_between(self.body, 100, 10_000_000, "body", "number of bytes")
        require_between(self.body_seconds, 0.01, LONGEST_WAIT, "body_seconds", "time in seconds")
        require_between(self.at_once, 1, 10_000, "--at-once", "number of requests at once")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Attributes:
    token: opens the team's page.
    title: of the learners' page.
    consent: language -> text that learners agree to.
    keep_texts: whether sentences and answers are kept, and not only what was said of them.
    names: under which the service may be asked for (`Host`); empty: any.
    limits: of requests.
    guardrails: of arms.
    """

    token: str
    title: str
    consent: dict[str, str]
    keep_texts: bool = False
    names: frozenset[str] = frozenset()
    limits: RequestLimits = field(default_factory=RequestLimits)
    guardrails: GuardrailLimits = field(default_factory=GuardrailLimits)
