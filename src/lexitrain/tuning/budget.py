"""How much a study may cost: trials, hours of machines, or money; and the design that fits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexitrain.errors import InputError, number_of
from lexitrain.tuning.designs.race import DEFAULT_CANDIDATES, Race, largest_race

if TYPE_CHECKING:
    from lexitrain.tuning.price import Price, Pricing


@dataclass(frozen=True)
class Budget:
    """What a study may cost; None: no limit.

    Attributes:
        trials: how many, a race's rungs counted one by one.
        hours: of machines.
        money: dollars.
        price: dollars an hour of a machine.
    """

    trials: int | None = None
    hours: float | None = None
    money: float | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError where a limit is no positive number."""
        limits = {"--trials": self.trials, "--hours": self.hours, "--money": self.money}
        for name, value in limits.items():
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{value} is no budget: more than 0 is needed.", where=name)
        if self.price is not None and not 0 <= self.price < math.inf:
            raise InputError(f"{self.price} is no price.", where="--price")

    def most_hours(self, dollars_an_hour: float | None) -> float | None:
        """Hours that hours and money allow, the fewer counting; None: no limit.

        Raises:
            InputError: money is limited and nobody knows what an hour costs.
        """
        limits = [] if self.hours is None else [self.hours]
        if self.money is not None:
            if not dollars_an_hour:
                raise InputError(
                    "A budget in money needs what an hour costs.",
                    where="--money",
                    fix="Add --price, in dollars an hour.",
                )
            limits.append(self.money / dollars_an_hour)
        return min(limits, default=None)

    def words(self) -> str:
        """As a person reads it."""
        parts = [] if self.trials is None else [f"{number_of(self.trials, 'trial')}"]
        parts += [] if self.hours is None else [f"{self.hours:g} h"]
        parts += [] if self.money is None else [f"${self.money:g}"]
        return ", ".join(parts) or "no limit"


def fitting_race(race: Race, budget: Budget, pricing: Pricing, price: Price | None) -> Race:
    """The race with the most candidates that the budget is expected to pay.

    Args:
        race: with all its candidates.
        budget: what it may cost.
        pricing: prices a smaller one.
        price: of the race; None where it cannot be priced.

    Raises:
        InputError: the budget does not pay for the smallest race.
    """
    hours = budget.most_hours(budget.price if price is None else price.dollars_an_hour)

    def fits(smaller: Race) -> bool:
        if budget.trials is not None and sum(smaller.sizes) > budget.trials:
            return False
        return hours is None or price is None or pricing.price(smaller).hours.expected <= hours

    # Without any limit the usual number; with one, all that it pays for.
    limited = budget.trials is not None or (hours is not None and price is not None)
    found = largest_race(race, fits, len(race.candidates) if limited else DEFAULT_CANDIDATES)
    if found is not None:
        return found
    least = largest_race(race, lambda _: True, 2)
    cost = (
        ""
        if least is None or price is None
        else f", about {pricing.price(least).hours.expected:.2g} h"
    )
    trials = 0 if least is None else sum(least.sizes)
    raise InputError(
        f"The budget ({budget.words()}) is too small for a race: the smallest one takes "
        f"{number_of(trials, 'trial')}{cost}.",
        fix="Give more, or fewer samples (data.task_weights), or a grid: --sweep FIELD=VALUE,VALUE",
    )
