"""One adapter a task (`data.adapters: per_task`): which tasks, and the recipe that each of them is trained by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import InputError
from lexitrain.records.record import iterate_split
from lexitrain.samples.data_files import file_facts
from lexitrain.tasks import registry

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe


def tasks_to_train(data_dir: Path, recipe: Recipe) -> list[str]:
    """The tasks that the recipe names, or those of the training records, in the registry's order.

    Raises:
        InputError: the data are missing or empty, or hold a task that nobody knows.
    """
    if recipe.data.tasks:
        return list(recipe.data.tasks)
    file_facts(data_dir)
    path = data_dir / "train.jsonl"
    known = registry(recipe.data.custom_tasks)
    present = {record.task for record in iterate_split(path)}
    if unknown := sorted(present - known.keys()):
        raise InputError(
            f"There is no task '{unknown[0]}'.",
            where=path,
            fix="Name the tasks to train with data.tasks, or their files with data.custom_tasks.",
        )
    if not present:
        raise InputError(
            "There is no sample to train on.", where=path, fix="Prepare data that hold records."
        )
    return [task for task in known if task in present]


def recipe_of_task(recipe: Recipe, task: str) -> Recipe:
    """The recipe of the run that trains the adapter of one task."""
    weights = {name: weight for name, weight in recipe.data.task_weights.items() if name == task}
    data = recipe.data.model_copy(
        update={"tasks": (task,), "adapters": "one", "task_weights": weights}
    )
    return recipe.model_copy(update={"data": data})
