"""What a build would do: which stages are done, and what the others would cost. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lexitrain.building.beforehand import require_possible
from lexitrain.building.build import STAGES, prepared_from
from lexitrain.building.recipe_choice import chosen
from lexitrain.building.stage_journal import StageJournal, key_of
from lexitrain.records import REPORT
from lexitrain.storage import disk_errors

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
        choices: as of `build`. Records that the build has not prepared yet are prepared in a temporary folder, which is
            deleted again.

    Raises:
        As `build`, of the stage `plan`.
    """
    own = require_possible(choices)
    journal = StageJournal(choices.folder)
    stages = {stage: journal.has(stage) for stage in STAGES}
    key = key_of("", STAGES[0], *prepared_from(choices, own))
    if journal.done(STAGES[0], key) is not None and (choices.data / REPORT).is_file():
        return BuildOutlook(*chosen(choices, own, choices.data), stages)
    from lexitrain.preparation import prepare

    with TemporaryDirectory(prefix="lexitrain-") as folder, disk_errors(Path(folder)):
        data = Path(folder) / "data"
        prepare(list(choices.records), data, custom_tasks=own.data.custom_tasks, seed=own.seed)
        return BuildOutlook(*chosen(choices, own, data), stages)
