"""What a build would do: which stages are done, and what the others would cost. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.building.build import STAGES
from lexitrain.building.choices import own_recipe
from lexitrain.building.recipe_choice import chosen
from lexitrain.building.stage_journal import StageJournal

if TYPE_CHECKING:
    from lexitrain.building.choices import Choices
    from lexitrain.planning import Plan
    from lexitrain.recipe import Recipe


@dataclass(frozen=True, slots=True)
class BuildOutlook:
    """Attributes:
    recipe: that would be trained.
    plan: of it.
    why: it is this one.
    stages: name -> whether its journal says that it was done; its inputs are not read again.
    """

    recipe: Recipe
    plan: Plan
    why: str
    stages: dict[str, bool]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "recipe": self.recipe.name,
            "why": self.why,
            "plan": self.plan.to_json(),
            "stages": self.stages,
        }


def outlook(choices: Choices) -> BuildOutlook:
    """What `build` would do.

    Args:
        choices: as of `build`. The records are planned with as they are; prepared ones where they are there already.

    Raises:
        As `build`, of the stage `plan`.
    """
    own = own_recipe(choices)
    prepared = (choices.data / "report.json").is_file()
    data = str(choices.data) if prepared else choices.records[0]
    recipe, plan, why = chosen(choices, own, data)
    journal = StageJournal(choices.folder)
    return BuildOutlook(recipe, plan, why, {stage: journal.has(stage) for stage in STAGES})
