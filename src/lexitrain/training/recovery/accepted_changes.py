"""Changes to a run that its user accepts: other settings, or other data, from the newest checkpoint on.

Without `--accept-changes` a run refuses what changes the weights that come out. With it the run goes on, lists the
changes in an event `accepted`, and keeps the new recipe or data summary, so that the next call finds nothing changed.
The event is written first: a crash in between asks once more. What the saved state itself depends on cannot be
accepted. Step numbers stay what they are; a run that had finished goes on when it now has more steps. A best validation
loss that was measured on other data is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lexitrain.errors import InputError
from lexitrain.recipe.schema import training_differences

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe
    from lexitrain.runs.folder import Run
    from lexitrain.training.metrics import Observer

#: Fields that say what the saved adapter and optimizer state look like.
_HELD = ("lora.rank", "lora.targets", "optimizer.name", "data.adapters")


def recipe_changes(run: Run, recipe: Recipe, *, accept: bool) -> list[str]:
    """What differs from the run's recipe in a way that changes training.

    Raises:
        InputError: something does, and it is not accepted or cannot be.
    """
    differences = training_differences(run.read_recipe(), recipe)
    held = [each for each in differences if each.partition(":")[0] in _HELD]
    if held and accept:
        raise InputError(
            f"This cannot change within a run, whose saved state depends on it: {'; '.join(held)}.",
            where=run.path,
            fix="Give another --run folder, or --fresh to start anew.",
        )
    if differences and not accept:
        raise InputError(
            f"The run was started with another recipe: {'; '.join(differences)}.",
            where=run.path,
            fix="Give another --run folder, --fresh to move this run aside and start anew, or --accept-changes to go "
            "on with the change from the newest checkpoint.",
        )
    return differences


def keep_recipe(run: Run, recipe: Recipe, observer: Observer) -> None:
    """Make `recipe` that of the run, with an event when this changes training."""
    before = run.read_recipe()
    if before == recipe:
        return
    differences = training_differences(before, recipe)
    if differences:
        accepted(run, observer, recipe=differences)
    run.write_recipe(recipe)


def accepted(run: Run, observer: Observer, **changes: Sequence[str]) -> None:
    """Write down what was accepted, at the step it counts from, and tell it."""
    step = max(run.checkpoint_steps(), default=0)
    observer.event(run.append_event("accepted", step, **changes))
