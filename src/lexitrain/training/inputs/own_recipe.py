"""The recipe that a run has in its folder or in its mirror, for a command that names none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lexitrain.errors import RunError, TaskError
from lexitrain.recipe import Recipe, recipe_from_yaml, recipe_to_yaml
from lexitrain.runs import Run, task_sources
from lexitrain.storage import user_path

_CUSTOM = "data.custom_tasks"


def run_recipe(
    run: str | Path,
    *,
    mirror: str | Path | None = None,
    overrides: Sequence[str] = (),
    trust_tasks: bool = False,
) -> Recipe | None:
    """The recipe that a run was started with, with overrides; None where there is no such run.

    Args:
        run: its folder.
        mirror: folder of mirrors, where the run is looked for if its own folder is gone.
        overrides: `section.field=value` strings, applied last, in order.
        trust_tasks: whether code that the run's recipe names may be executed.

    Raises:
        RecipeError: an override, or the run's recipe, cannot be used.
        RunError: the folder holds runs, and no recipe of its own.
        TaskError: the recipe names tasks of the user's own, and neither `trust_tasks` nor an override says that they
            may be executed.
    """
    own = Run(run)
    places = [own] if mirror is None else [own, Run(user_path(mirror) / own.path.name)]
    found = _newest(places)
    if found is None:
        _refuse_parts(places)
        return None
    text = recipe_to_yaml(found.read_recipe())
    recipe = recipe_from_yaml(text, str(found.recipe_file), overrides)
    named = any(text.partition("=")[0].strip() == _CUSTOM for text in overrides)
    if recipe.data.custom_tasks and not (named or trust_tasks):
        raise _untrusted(recipe, found)
    return recipe


def _newest(places: Sequence[Run]) -> Run | None:
    """The run that training goes on from: its own folder, or a mirror that is ahead of it."""
    existing = [each for each in places if each.exists()]
    if existing and existing[0] is places[0]:
        remembered = existing[0].read_recipe().checkpoints.mirror_folder
        if remembered is not None and Run(remembered / places[0].path.name).exists():
            existing.append(Run(remembered / places[0].path.name))
    return max(existing, key=_standing, default=None)


def _standing(run: Run) -> tuple[int, int]:
    changes = sum(each.event == "accepted" for each in run.events())
    return max(run.checkpoint_steps(), default=0), changes


def _refuse_parts(places: Sequence[Run]) -> None:
    for each in places:
        if each.path.is_dir() and any(Run(part).exists() for part in each.path.iterdir()):
            raise RunError(
                "This folder holds runs, and no recipe of its own.",
                where=each.path,
                fix="Give one of the runs in it. To go on with one adapter for each task (data.adapters=per_task), "
                "give --recipe and --set as at its start.",
            )


def _untrusted(recipe: Recipe, run: Run) -> TaskError:
    custom = ", ".join(task_sources(recipe.data.custom_tasks, [run]))
    return TaskError(
        f"This run's own recipe names tasks that are code: {custom}. They are not executed because a run folder says "
        "so.",
        where=run.recipe_file,
        fix="If you trust them, add --trust-tasks; or name the files yourself: --custom-task FILE.py.",
    )
