"""Recipes: everything that defines a training run, as one typed object and one YAML file."""

from __future__ import annotations

from lexitrain.recipe.custom_tasks import recipe_with_tasks
from lexitrain.recipe.defaults import fields_from_defaults
from lexitrain.recipe.schema import (
    NANO,
    NO_MIRROR,
    NO_SYSTEM,
    NO_TRACKER,
    TRACKERS,
    DataSection,
    LoraSection,
    ModelSection,
    OptimizerSection,
    Recipe,
    ScheduleSection,
    StepSection,
    checked_trackers,
    field_text,
    field_value,
    is_free_on_resume,
    recipe_fields,
    training_differences,
)
from lexitrain.recipe.whole_paths import with_whole_paths
from lexitrain.recipe.yaml_file import load_recipe, recipe_from_yaml, recipe_names, recipe_to_yaml

__all__ = [
    "NANO",
    "NO_MIRROR",
    "NO_SYSTEM",
    "NO_TRACKER",
    "TRACKERS",
    "DataSection",
    "LoraSection",
    "ModelSection",
    "OptimizerSection",
    "Recipe",
    "ScheduleSection",
    "StepSection",
    "checked_trackers",
    "field_text",
    "field_value",
    "fields_from_defaults",
    "is_free_on_resume",
    "load_recipe",
    "recipe_fields",
    "recipe_from_yaml",
    "recipe_names",
    "recipe_to_yaml",
    "recipe_with_tasks",
    "training_differences",
    "with_whole_paths",
]
