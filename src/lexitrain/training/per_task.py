"""One adapter a task (`data.adapters: per_task`): which tasks, each one's recipe, and what came of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import DataError
from lexitrain.records import TRAIN, iterate_split, split_file
from lexitrain.samples import file_facts
from lexitrain.tasks import OWN_TASK, registry, unknown_task
from lexitrain.training.outcome.result import TrainingResult

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe


def tasks_to_train(data_dir: Path, recipe: Recipe, sources: Sequence[str]) -> list[str]:
    """The tasks that the recipe names, or those of the training records, in the registry's order.

    Args:
        data_dir: the data.
        recipe: of the whole.
        sources: where the user's own tasks are read from.

    Raises:
        DataError: the data are missing or empty.
        TaskError: they hold a task that nobody knows.
    """
    if recipe.data.tasks:
        return list(recipe.data.tasks)
    file_facts(data_dir)
    path = split_file(data_dir, TRAIN)
    known = registry(sources)
    present = {record.task for record in iterate_split(path)}
    if unknown := sorted(present - known.keys()):
        raise unknown_task(
            unknown[0],
            known,
            where=path,
            fix=f"Name the tasks to train with data.tasks. {OWN_TASK}",
        )
    if not present:
        raise DataError(
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


def combined(run: Path, parts: dict[str, TrainingResult]) -> TrainingResult:
    """The result of a folder with one run a task."""
    results = list(parts.values())
    stopped = [each for each in results if each.state == "stopped"]
    return TrainingResult(
        run=run,
        state="stopped" if stopped else "finished",
        reason=(stopped or results)[0].reason,
        step=sum(each.step for each in results),
        total_steps=sum(each.total_steps for each in results),
        first_loss=_mean(each.first_loss for each in results),
        validation_loss=_mean(each.validation_loss for each in results),
        best_loss=_mean(each.best_loss for each in results),
        seconds=sum(each.seconds for each in results),
        parts=parts,
    )


def _mean(losses: Iterable[float | None]) -> float | None:
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known) if known else None
