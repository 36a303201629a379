"""The folders and files that a recipe names by their absolute paths, for a run is gone on with from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.recipe.schema import NANO
from lexitrain.storage import user_path

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe


def with_whole_paths(recipe: Recipe) -> Recipe:
    """The recipe with its base (where that is a folder), the adapter to start from and the files of its tasks by their
    absolute paths. What is relative is so to the working folder, as everywhere on the command line.
    """
    model, data = recipe.model, recipe.data
    base, adapter = model.base, model.adapter
    if base != NANO and user_path(base).is_dir():
        base = str(user_path(base).absolute())
    if adapter is not None:
        adapter = str(user_path(adapter).absolute())
    tasks = tuple(
        str(user_path(source).absolute()) if source.endswith(".py") else source
        for source in data.custom_tasks
    )
    if (base, adapter, tasks) == (model.base, model.adapter, data.custom_tasks):
        return recipe
    return recipe.model_copy(
        update={
            "model": model.model_copy(update={"base": base, "adapter": adapter}),
            "data": data.model_copy(update={"custom_tasks": tasks}),
        }
    )
