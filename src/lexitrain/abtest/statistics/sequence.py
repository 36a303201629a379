"""Intervals that may be looked at as often as one likes.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Time-uniform central limit theory
and asymptotic confidence sequences, arXiv 2103.06476, Theorem 2.2): with n values, their mean m and deviation s,

    m ± s · sqrt( 2 (n ρ² + 1) / (n² ρ²) · ln( sqrt(n ρ² + 1) / α ) )

holds for all n at once with a probability that goes to 1 - α. It is the normal mixture of Robbins (1970), and the
p value that belongs to it is that of the mixture sequential probability ratio test (Johari, Koomen, Pekelis & Walsh
2022). ρ is chosen before the test, so that the interval is narrowest at n*: ρ² = x*/n* with
x* = -2 ln α + ln(1 - 2 ln α) (their appendix B.2, to first order).

Here the unit is the learner, who comes back. With s/sqrt(n) the standard error, only x = n ρ² is left to be said, and
what must be put in for n is the time in which the *sum* of the residuals gathers variance, not how many learners there
are: at the moment t that is

    n(t) = se(t)² · H(t)² / σ²,   H = D₁ D₂ / (D₁ + D₂)

with D the exposures of each arm and σ² the variance of one exposure; it is H itself where exposures are independent,
and H times the design effect where learners come back. A learner's early and late residuals go the same way, so the sum
at two moments is more alike than that of independent exposures with this variance would be, and by Slepian's inequality
it crosses the boundary no more often. Counting learners instead would hold time still while those who are there come
back, and the noise of their visits would be looked at many times at the price of once.
"""

from __future__ import annotations

import math

LEAST_LEARNERS = 50
"""Of each arm, before which there is no sequence: its guarantee is about large numbers."""

TUNED_FOR = 10_000.0
"""Exposures times design effect of both arms together at which the interval is narrowest where nothing was planned."""


def best_time(alpha: float) -> float:
    """x*, at which the interval is narrowest for its n."""
    return -2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))


def widening(x: float, alpha: float) -> float:
    """Half of the interval in standard errors.

    Args:
        x: n ρ², above 0.
        alpha: chance that the truth is ever outside.
    """
    return math.sqrt((x + 1) / x * (math.log(x + 1) - 2 * math.log(alpha)))


def always_valid_p(z: float, x: float) -> float:
    """The p value that may be looked at at any time: below alpha exactly where the interval leaves out 0.

    Args:
        z: difference in standard errors.
        x: n ρ², above 0.
    """
    evidence = z * z * x / (2 * (x + 1)) - math.log(x + 1) / 2
    return math.exp(-evidence) if evidence > 0 else 1.0


def time_of(
    error: float, exposures: tuple[float, float], variance: float, planned: float, alpha: float
) -> float:
    """x = n ρ² of a difference.

    Args:
        error: its standard error.
        exposures: of each arm, that have a value.
        variance: of one exposure's value within its arm; 0: exposures are taken as independent.
        planned: n*, on the scale of `harmonic`.
        alpha: of the interval.
    """
    together = harmonic(*exposures)
    n = (error * together) ** 2 / variance if variance > 0 else together
    return n / planned * best_time(alpha)


def harmonic(first: float, other: float) -> float:
    """H = D₁ D₂ / (D₁ + D₂)."""
    return first * other / (first + other)
