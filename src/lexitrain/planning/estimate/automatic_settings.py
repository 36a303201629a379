"""What `auto` becomes: memory is spent where it buys time.

The settings are tried from the fastest to the most frugal, and the first whose peak fits is taken: smaller cuts cost
a few more kernels, recomputing activations about a third more arithmetic, a base in 4 bits the restoring of every
weight in every pass. Training and planning both ask here, so that a plan says what training will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.planning.estimate.peak_memory import peak_memory
from lexitrain.planning.usual_trainer.batches import trainer_recipe
from lexitrain.recipe import Recipe, field_value

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.planning.estimate.planned_steps import PlannedSteps
    from lexitrain.planning.rehearsal.rehearsed_step import Memory
    from lexitrain.planning.rehearsal.target import Target

_BUDGETS = (2048, 1024, 512)
"""Token budgets to try where no limit needs too much memory. Below 512 tokens a GPU waits for its launches."""
_AUTOMATIC = ("model.quantization", "step.gradient_checkpointing", "step.token_budget")


@dataclass(frozen=True, slots=True)
class Decided:
    """A recipe whose automatic settings are decided.

    Attributes:
        recipe: `auto` remains only where it means no limit on the cuts.
        memory: at its peak.
        choices: field -> value, for the fields that were automatic.
        fits: whether the peak is within the limit; if not, this is the most frugal of all.
    """

    recipe: Recipe
    memory: Memory
    choices: dict[str, str]
    fits: bool


def decide(
    recipe: Recipe,
    architecture: Architecture,
    target: Target,
    limit: float,
    steps_of: Callable[[Recipe], PlannedSteps],
) -> Decided:
    """The fastest settings that fit.

    Args:
        recipe: what it sets stays as it is.
        architecture: of the base.
        target: the kind of device.
        limit: bytes that the device has for this process.
        steps_of: the steps of a recipe, laid out.
    """
    if target.engine == "trainer":
        return _as_the_trainer(recipe, architecture, target, limit, steps_of)
    tried: list[tuple[Recipe, Memory]] = []
    longest = max(cut.positions for step in steps_of(recipe).heaviest for cut in step)
    for settings in _from_fast_to_frugal(recipe, longest):
        candidate = with_settings(recipe, settings)
        if any(candidate == before for before, _ in tried):
            continue  # what is set by hand leaves less to choose
        steps = steps_of(candidate)
        trained = (*steps.spread, *steps.heaviest)
        validated = (*steps.validation, *steps.heaviest_validation)
        memory = peak_memory(architecture, candidate, target, trained, validated)
        if memory.device_total <= limit:
            return Decided(candidate, memory, _choices(recipe, candidate), fits=True)
        tried.append((candidate, memory))
    frugal, memory = min(tried, key=lambda each: each[1].device_total)
    return Decided(frugal, memory, _choices(recipe, frugal), fits=False)


def _as_the_trainer(
    recipe: Recipe,
    architecture: Architecture,
    target: Target,
    limit: float,
    steps_of: Callable[[Recipe], PlannedSteps],
) -> Decided:
    """The usual trainer chooses nothing by what fits."""
    usual = trainer_recipe(recipe)
    steps = steps_of(usual)
    memory = peak_memory(architecture, usual, target, (*steps.spread, *steps.heaviest))
    choices = _choices(recipe, usual, (*_AUTOMATIC[:2], "step.micro_batch"))
    return Decided(usual, memory, choices, memory.device_total <= limit)


def with_settings(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """The recipe with these fields, given as `section.field`, where it says `auto`.

    Cuts that the recipe sets itself need no token budget.
    """
    content = recipe.model_dump()
    for dotted, value in settings.items():
        section, field = dotted.split(".")
        if dotted == "step.token_budget" and content["step"]["micro_batch"] != "auto":
            continue
        if content[section][field] == "auto":
            content[section][field] = value
    return Recipe.model_validate(content)


def _from_fast_to_frugal(recipe: Recipe, longest: int) -> Iterator[dict[str, Any]]:
    """Only budgets that make cuts shorter than `longest`, which they have anyway."""
    budgets: list[str | int] = ["auto"]
    if recipe.step.micro_batch == "auto":
        budgets += [budget for budget in _BUDGETS if budget < longest]
    for quantization in ("none", "nf4"):
        for recomputation in ("never", "always"):
            for budget in budgets:
                yield dict(zip(_AUTOMATIC, (quantization, recomputation, budget), strict=True))


def _choices(recipe: Recipe, decided: Recipe, fields: Sequence[str] = _AUTOMATIC) -> dict[str, str]:
    return {
        dotted: str(field_value(decided, dotted))
        for dotted in fields
        if field_value(recipe, dotted) == "auto" and field_value(decided, dotted) != "auto"
    }
