"""Two recipes side by side: a table of what differs and what each change does, and each change's own share.

In the table a change is judged alone: the old recipe with only that setting changed. What all of them do together, and
how much of it each one owns, is the levers' business (`levers.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lexitrain.planning.estimate.plan import Plan
from lexitrain.planning.versus.gains import checkpoints_saved, memory_saved, times_faster
from lexitrain.planning.versus.levers import LEVERS, Lever, Measure, pull_levers
from lexitrain.planning.versus.table import Row, table
from lexitrain.recipe import field_value, fields_from_defaults, recipe_names

if TYPE_CHECKING:
    from lexitrain.planning.rehearsal.target import Engine
    from lexitrain.recipe import Recipe

_OF_THE_TEAM = ("slow", "notebook")
"""Shipped recipes that stand for what the team ran in the Transformers Trainer."""
_OF_THE_RUN = ("data", "checkpoints and validation")
"""Levers that are no settings of the training that a user would compare."""


class PlanBy(Protocol):
    """Plans a recipe in one engine's step."""

    def __call__(self, recipe: Recipe, *, engine: Engine) -> Plan:
        """The plan."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two plans, what differs, and what each difference does.

    Attributes:
        a, b: the old plan and the new one.
        rows: the table.
        levers: each change's own share of hours and memory saved; they sum to the difference.
        defaults: of the old recipe, where it is a user's own: settings that cost time or memory and that it does not
            name, with the default that stands for them.
    """

    a: Plan
    b: Plan
    rows: tuple[Row, ...]
    levers: tuple[Lever, ...]
    defaults: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The keys that `--versus` adds to the document of `--json`."""
        a, b = self.a, self.b
        return {
            "a": a.to_json(),
            "b": b.to_json(),
            "improvement": {
                "times_faster": round(times_faster(a, b), 3),
                "hours_saved": round(a.hours.expected - b.hours.expected, 4),
                "memory_saved_gb": round((a.memory.peak - b.memory.peak) / 1e9, 4),
                "memory_saved": round(memory_saved(a, b), 4),
                "checkpoints_saved": round(checkpoints_saved(a, b), 4),
                "table": [asdict(row) for row in self.rows],
            },
            "levers": [lever.to_json() for lever in self.levers],
            "from_defaults": dict(self.defaults),
        }


def ran_in(recipe: Recipe) -> Engine:
    """Whose step a recipe was run in: the team's own in the usual trainer, any other in this product's."""
    return "trainer" if recipe.name in _OF_THE_TEAM else "lexitrain"


def compare_plans(
    old: Recipe,
    new: Recipe,
    plan_by: PlanBy,
    engines: tuple[Engine, Engine] = ("lexitrain", "lexitrain"),
) -> Comparison:
    """Foresee both recipes and every step between them.

    Args:
        old: the recipe that `--versus` names.
        new: the recipe that is planned.
        plan_by: plans a recipe, for the same device and the same records.
        engines: whose step the old one and the new one have.
    """
    before, after = engines
    a, b = plan_by(old, engine=before), plan_by(new, engine=after)

    def measure(recipe: Recipe, engine: Engine) -> Measure:
        plan = plan_by(recipe, engine=engine)
        return Measure(plan.hours.expected, plan.memory.peak / 1e9)

    rows = table(old, new, a, b, lambda recipe: plan_by(recipe, engine=before))
    levers = pull_levers(old, new, measure, engines)
    return Comparison(a, b, rows, levers, tuple(_defaults(old)))


def _defaults(old: Recipe) -> list[tuple[str, Any]]:
    """What a user's own settings leave open. The shipped recipes mean their defaults."""
    if old.name in recipe_names():
        return []
    costly = {
        field for lever, fields in LEVERS.items() if lever not in _OF_THE_RUN for field in fields
    }
    found = [(field, field_value(old, field)) for field in fields_from_defaults(old)]
    return [(field, value) for field, value in found if field in costly and value is not None]
