"""Two recipes side by side: a table of what differs and what each change does, and each change's own share.

In the table a change is judged alone: the old recipe with only that setting changed. What all of them do together, and
how much of it each one owns, is the levers' business (`levers.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.planning.estimate.plan import Plan, PlanOf
from lexitrain.planning.versus.gains import checkpoints_saved, memory_saved, times_faster
from lexitrain.planning.versus.levers import Lever, Measure, pull_levers
from lexitrain.planning.versus.table import Row, table

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two plans, what differs, and what each difference does.

    Attributes:
        a, b: the old plan and the new one.
        rows: the table.
        levers: each change's own share of hours and memory saved; they sum to the difference.
    """

    a: Plan
    b: Plan
    rows: tuple[Row, ...]
    levers: tuple[Lever, ...]

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
        }


def compare_plans(old: Recipe, new: Recipe, plan_of: PlanOf) -> Comparison:
    """Foresee both recipes and every step between them.

    Args:
        old: the recipe that `--versus` names.
        new: the recipe that is planned.
        plan_of: plans a recipe, for the same device and the same records.
    """
    a, b = plan_of(old), plan_of(new)

    def measure(recipe: Recipe) -> Measure:
        plan = plan_of(recipe)
        return Measure(plan.hours.expected, plan.memory.peak / 1e9)

    return Comparison(a, b, table(old, new, plan_of), pull_levers(old, new, measure))
