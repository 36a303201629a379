"""What a study will cost, before it begins: the plans of its runs, added up.

The cost of a candidate hangs on its samples a step and its rank, not on its learning rate or its scale: candidates that
differ in those alone are planned once.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lexitrain.errors import InputError
from lexitrain.planning import Band, Planner, device_at_hand, with_installed_memory
from lexitrain.tuning.designs.sweep import changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lexitrain.planning import Gpu, Plan
    from lexitrain.recipe import Recipe
    from lexitrain.tuning.designs.unit import Changes, Design, Stage

_LOADING = Band(3 / 3600, 6 / 3600, 20 / 3600)
"""Hours that a trial takes beside its steps: loading the base, rendering records, a validation before and after. An
assumption for small bases on a disk; it counts where trials are short."""
_OF_NO_COST = {"optimizer.learning_rate", "optimizer.lora_plus", "lora.alpha", "lora.scaling"}
_LEVELS = ("low", "expected", "high")


@dataclass(frozen=True)
class StagePrice:
    """What one stage costs.

    Attributes:
        title: of the stage.
        trials: how many.
        share: of a whole run that each trains.
        hours: all of them together, on one machine.
    """

    title: str
    trials: int
    share: float
    hours: Band


@dataclass(frozen=True)
class Price:
    """What a study costs on a device.

    Attributes:
        device: its name.
        basis: how its speed is known: measured, fitted or catalogue.
        stages: one after the other.
        hours: all of them, on one machine.
        run: hours of one whole run of the recipe.
        dollars_an_hour: None where nobody said.
    """

    device: str
    basis: str
    stages: tuple[StagePrice, ...]
    hours: Band
    run: Band
    dollars_an_hour: float | None

    @property
    def dollars(self) -> Band | None:
        """All of it; None where no price is known."""
        return None if self.dollars_an_hour is None else self.hours.times(self.dollars_an_hour)

    def to_json(self) -> dict[str, Any]:
        """For result.json and `--json`."""
        return {
            "device": self.device,
            "basis": self.basis,
            "hours": self.hours.to_json(4),
            "dollars": None if self.dollars is None else self.dollars.to_json(2),
            "whole_run_hours": self.run.to_json(4),
            "stages": [
                {
                    "title": each.title,
                    "trials": each.trials,
                    "share": round(each.share, 6),
                    "hours": each.hours.to_json(4),
                }
                for each in self.stages
            ],
        }


class Pricing:
    """Prices designs for one recipe, one data folder and one device.

    Args:
        recipe: that the designs change.
        data: prepared records.
        dollars_an_hour: as the user says; None: the catalogue's.
    """

    def __init__(self, recipe: Recipe, data: Path, dollars_an_hour: float | None) -> None:
        self._recipe = recipe
        self._gpu = _device()
        self._planner = Planner(self._gpu, data=data, price=dollars_an_hour)

    def price(self, design: Design) -> Price:
        """The price of a design.

        Raises:
            InputError: a run of it cannot be planned: its base is not there, or it has no shape that is known.
        """
        stages = tuple(self._stage(each) for each in design.stages)
        whole = self._plan({})
        return Price(
            device=self._gpu.name,
            basis=whole.basis,
            stages=stages,
            hours=_sum([each.hours for each in stages]),
            run=whole.hours,
            dollars_an_hour=whole.price,
        )

    def _stage(self, stage: Stage) -> StagePrice:
        bands = [self._plan(each).hours for each in stage.examples]
        mean = Band(*(fmean(getattr(band, level) for band in bands) for level in _LEVELS))
        one = _sum([mean.times(stage.share), _LOADING])
        return StagePrice(stage.title, stage.count, stage.share, one.times(stage.count))

    def _plan(self, changes: Changes) -> Plan:
        costly = {name: value for name, value in changes.items() if name not in _OF_NO_COST}
        return self._planner.plan(changed(self._recipe, costly))


def priced_or_why(pricing: Pricing, design: Design) -> tuple[Price | None, str]:
    """The price; or None, and why runs of this base cannot be planned although they may be trained."""
    try:
        return pricing.price(design), ""
    except InputError as error:
        return None, str(error)


def _sum(bands: Sequence[Band]) -> Band:
    return Band(*(sum(getattr(band, level) for band in bands) for level in _LEVELS))


def _device() -> Gpu:
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return with_installed_memory(device_at_hand(device))
