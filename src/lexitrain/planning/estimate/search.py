"""Which recipe to take within so many hours and so much memory.

Every shipped recipe without waste, and the user's own, is planned with the settings that trade memory for time; a
recipe too long may drop up to half of its epochs. What the user has set is set in all of them (`candidates.py`). What
fits is ranked by what usually decides quality: the size of the base, then epochs, rank and sample length. That order is
experience, not measurement: `lexitrain compare` measures it on your data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.planning.estimate.plan import Plan, PlanOf
from lexitrain.planning.rehearsal.second_process import in_second_process
from lexitrain.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexitrain.planning.candidates import Candidates

_BUDGET = 512  # the smallest that `auto` tries, see automatic_settings.py
_KNOBS: tuple[dict[str, dict[str, Any]], ...] = (
    {},
    {"model": {"quantization": "none"}, "step": {"gradient_checkpointing": "never", "token_budget": _BUDGET}},
    {"model": {"quantization": "none"}, "step": {"gradient_checkpointing": "always", "token_budget": _BUDGET}},
    {"model": {"quantization": "nf4"}, "step": {"gradient_checkpointing": "always", "token_budget": _BUDGET}},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Option:
    """A recipe with its settings, planned.

    Attributes:
        recipe: as it would be trained; automatic settings are not decided in it.
        settings: what to give with `--set` besides the recipe's name.
        plan: what is foreseen.
    """

    recipe: Recipe
    settings: tuple[str, ...]
    plan: Plan

    @property
    def rank(self) -> tuple[float, ...]:
        """Larger is likely better."""
        recipe = self.plan.recipe
        return (
            self.plan.base_parameters,
            recipe.schedule.epochs,
            recipe.lora.rank,
            recipe.data.max_length,
        )

    @property
    def memory_gb(self) -> float:
        """What the device must have, 10^9 bytes."""
        return self.plan.memory.device_total / 1e9

    def to_json(self) -> dict[str, Any]:
        """The option as JSON."""
        return {
            "recipe": self.plan.recipe.name,
            "set": list(self.settings),
            "hours": self.plan.hours.to_json(),
            "memory_gb": round(self.memory_gb, 3),
            "rank": list(self.rank),
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer of `--within`.

    Attributes:
        best: what to take; None when nothing fits.
        nearest: what comes nearest when nothing fits.
        pareto: options that no other one beats in rank, hours and memory at once, best rank first.
        decided: of each of these, what decided for or against it.
        why: one sentence.
        notes: what was not considered, and what is kept in all choices, a sentence each.
    """

    best: Option | None
    nearest: Option | None
    pareto: tuple[Option, ...]
    decided: tuple[str, ...]
    why: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The recommendation as JSON."""
        return {
            "recommended": None if self.best is None else self.best.to_json(),
            "nearest": None if self.nearest is None else self.nearest.to_json(),
            "pareto": [
                option.to_json() | {"decided": decided}
                for option, decided in zip(self.pareto, self.decided, strict=True)
            ],
            "why": self.why,
            "notes": list(self.notes),
        }


def recommend(
    among: Candidates, plan_of: PlanOf, *, hours: float | None, memory_gb: float | None
) -> Recommendation:
    """Search the recipes and their settings.

    Args:
        among: the recipes to choose from, and what is kept in all of them.
        plan_of: plans a recipe on the device.
        hours: most expected hours; None: any.
        memory_gb: most memory, 10^9 bytes; None: what the device has.
    """

    recipes = among.recipes

    def options_of(some: Sequence[Recipe]) -> list[list[Option]]:
        return [list(_options(recipe, among, plan_of, hours)) for recipe in some]

    found: list[list[Option]] = [[] for _ in recipes]
    # Each process rehearses one half; this one then finds the other half's rehearsals in the cache.
    with in_second_process(lambda: options_of(recipes[1::2])) as wait:
        found[::2] = options_of(recipes[::2])
        wait()
        found[1::2] = options_of(recipes[1::2])
    options = [option for each in found for option in each]
    pareto = tuple(sorted(_undominated(options), key=lambda o: (o.rank, -_hours(o)), reverse=True))
    inside = [option for option in options if _excess(option, hours, memory_gb) <= 0]
    if not inside:
        nearest = min(
            options, key=lambda option: (_excess(option, hours, memory_gb), _hours(option))
        )
        decided = tuple(_decided(each, nearest, hours, memory_gb) for each in pareto)
        why = _why_not(nearest, hours, memory_gb)
        return Recommendation(None, nearest, pareto, decided, why, among.notes)
    best = max(inside, key=lambda option: (option.rank, -_hours(option), -option.memory_gb))
    decided = tuple(_decided(each, best, hours, memory_gb) for each in pareto)
    why = _why(best, options, hours, memory_gb)
    return Recommendation(best, None, pareto, decided, why, among.notes)


def _options(
    recipe: Recipe, among: Candidates, plan_of: PlanOf, hours: float | None
) -> Iterator[Option]:
    for knobs in _KNOBS:
        changed = _with(recipe, knobs)
        if knobs and (changed == recipe or not among.keeps(recipe, changed)):
            continue
        settings = among.settings + tuple(
            f"{section}.{field}={value}"
            for section, fields in knobs.items()
            for field, value in fields.items()
            if f"{section}.{field}" not in among.kept
        )
        plan = plan_of(changed)
        yield Option(changed, settings, plan)
        shorter = _fewer_epochs(recipe, plan, hours)
        if shorter and "schedule.epochs" not in among.kept:
            fewer = _with(changed, {"schedule": {"epochs": shorter}})
            yield Option(fewer, (*settings, f"schedule.epochs={shorter}"), plan_of(fewer))


def _with(recipe: Recipe, knobs: dict[str, dict[str, Any]]) -> Recipe:
    content = recipe.model_dump()
    for section, fields in knobs.items():
        content[section] |= fields
    if content["step"]["token_budget"] != "auto":
        content["step"]["micro_batch"] = "auto"
    return Recipe.model_validate(content)


def _fewer_epochs(recipe: Recipe, plan: Plan, hours: float | None) -> int:
    """The most epochs that fit, if they are at least half of the recipe's; else 0."""
    epochs = recipe.schedule.epochs
    if hours is None or plan.hours.expected <= hours:
        return 0
    fewer = int(epochs * hours / plan.hours.expected)
    return fewer if epochs > fewer >= epochs / 2 else 0


def _hours(option: Option) -> float:
    return option.plan.hours.expected


def _excess(option: Option, hours: float | None, memory_gb: float | None) -> float:
    """By what share the option exceeds the limit that it exceeds most; 0 or less when it fits."""
    limit = option.plan.memory_limit / 1e9
    memory = option.memory_gb / (limit if memory_gb is None else min(limit, memory_gb)) - 1
    return memory if hours is None else max(memory, _hours(option) / hours - 1)


def _undominated(options: Sequence[Option]) -> list[Option]:
    def beats(one: Option, other: Option) -> bool:
        a = (*one.rank, -_hours(one), -one.memory_gb)
        b = (*other.rank, -_hours(other), -other.memory_gb)
        better_rank = one.rank >= other.rank
        return better_rank and a[-2] >= b[-2] and a[-1] >= b[-1] and a != b

    return [each for each in options if not any(beats(other, each) for other in options)]


def _decided(option: Option, chosen: Option, hours: float | None, memory_gb: float | None) -> str:
    """What decided for or against an option, beside the one that is taken or comes nearest."""
    limit = option.plan.memory_limit / 1e9
    most = limit if memory_gb is None else min(limit, memory_gb)
    beyond: list[str] = []
    if hours is not None and _hours(option) > hours:
        beyond.append(f"{_hours(option) - hours:.2f} h too long")
    if option.memory_gb > most:
        beyond.append(f"{option.memory_gb - most:.2f} GB too large")
    if option == chosen:
        return "; ".join(["nearest", *beyond]) if beyond else "taken"
    if beyond:
        return "; ".join(beyond)
    names = ("base", "epochs", "adapter rank", "sample length")
    for name, own, other in zip(names, option.rank, chosen.rank, strict=True):
        if own != other:
            return (
                f"{'smaller' if name == 'base' else 'fewer' if name == 'epochs' else 'less'} {name}"
            )
    return "equal rank, more time or memory"


def _named(option: Option) -> str:
    return " ".join([option.plan.recipe.name, *option.settings])


def _limits(hours: float | None, memory_gb: float | None) -> str:
    parts = [f"{hours:g} h" if hours is not None else "", f"{memory_gb:g} GB" if memory_gb else ""]
    return " and ".join(filter(None, parts)) or "the device"


def _why(
    best: Option, options: Sequence[Option], hours: float | None, memory_gb: float | None
) -> str:
    text = (
        f"{_named(best)} is the highest-ranked that fits {_limits(hours, memory_gb)}: {_hours(best):.2f} h, "
        f"{best.memory_gb:.1f} GB"
    )
    above = [option for option in options if option.rank > best.rank]
    if not above:
        return f"{text}; nothing ranks above it."
    closest = min(above, key=lambda option: _excess(option, hours, memory_gb))
    return (
        f"{text}; {_named(closest)} ranks above it, but takes {_hours(closest):.2f} h and "
        f"{closest.memory_gb:.1f} GB."
    )


def _why_not(nearest: Option, hours: float | None, memory_gb: float | None) -> str:
    return (
        f"Nothing fits {_limits(hours, memory_gb)}. Nearest: {_named(nearest)}, which takes {_hours(nearest):.2f} h "
        f"and {nearest.memory_gb:.1f} GB."
    )
