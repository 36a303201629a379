"""What a recipe leaves to the defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.recipe.schema import Recipe, recipe_fields

if TYPE_CHECKING:
    from pydantic import BaseModel


def fields_from_defaults(recipe: Recipe) -> list[str]:
    """Leaf fields that nobody has set: neither the recipe's file, nor what it extends, nor an override."""
    found: list[str] = []
    for dotted, _ in recipe_fields():
        section, _, name = dotted.rpartition(".")
        holder: BaseModel = getattr(recipe, section) if section else recipe
        if name not in holder.model_fields_set:
            found.append(dotted)
    return found
