"""What a service is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    """

    seconds: float = 10.0
    errors: float = 0.10
    invalid: float = 0.20
    least: int = 50
    window: int = 200
    chance: float = 1e-4


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much may be asked.

    Attributes:
        learner: requests a minute of one learner; 0: any number.
        address: requests a minute of one address (of IPv6 a /64), and as many wrong tokens an hour; 0: any number.
        text: characters of a learner's text.
        body: bytes of a request.
        body_seconds: until it is there.
        at_once: requests under way at one arm; more are turned away, and counted as the arm's errors.
    """

    learner: int = 30
    address: int = 600
    text: int = 2000
    body: int = 65_536
    body_seconds: float = 10.0
    at_once: int = 64


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
