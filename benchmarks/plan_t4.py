"""What plans foresee for the team's T4, beside what the team observed: `python -m benchmarks.plan_t4`.

18,400 samples with the lengths of the benchmark mixture, an eighth as many for validation; the T4's speed as fitted by
`benchmarks/fit_t4.py`, which saw none of the team's hours. The team's own recipes are planned twice: in this product's
step, and in that of the Transformers Trainer, which is what the team ran and what `--versus` compares. Everything here
is predicted, nothing measured on a T4.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.planner import Planner
from lexitrain.recipe.yaml_file import load_recipe

RESULT = Path(__file__).parent / "results" / "plan-t4.json"
OBSERVED = {
    "slow": {"hours": [10, 12], "memory_gb": [11, 13], "checkpoints_gb": 9},
    "notebook": {"hours": [3, 4], "memory_gb": [5, 6], "checkpoints_gb": 3},
}
"""As the team reports them."""


def main() -> None:
    """Plan, compare, print, save."""
    recipes = {name: load_recipe(name) for name in ("slow", "notebook", "fast", "best")}
    planner = Planner(find_gpu("T4"), calibrated=False)
    plans = {name: planner.plan(recipe) for name, recipe in recipes.items()}
    usual = {name: planner.plan(recipes[name], "trainer") for name in OBSERVED}
    pairs = (("slow", "notebook"), ("notebook", "fast"), ("slow", "best"))
    document: dict[str, Any] = {
        "command": "python -m benchmarks.plan_t4",
        "what": "predicted, not measured on a T4",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "peft", "lexitrain")
        },
        "observed_by_the_team": OBSERVED,
        "plans": {name: plan.to_json() for name, plan in plans.items()},
        "usual_trainer": {name: plan.to_json() for name, plan in usual.items()},
        "headline": {
            "best, 7 epochs, hours": plans["best"].hours.to_json(),
            "notebook, 4 epochs, hours": plans["notebook"].hours.to_json(),
            "best / notebook": round(
                plans["best"].hours.expected / plans["notebook"].hours.expected, 3
            ),
            "best / notebook, at each end": {
                level: round(
                    getattr(plans["best"].hours, level) / getattr(plans["notebook"].hours, level), 3
                )
                for level in ("low", "high")
            },
            "best / notebook, fast arithmetic and slow launches": round(_worst(recipes), 3),
        },
        "versus": {
            f"{old} → {new}": shortened(planner.compare(recipes[old], recipes[new]).to_json())
            for old, new in pairs
        },
    }
    RESULT.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = plans | {f"{name}, trainer": plan for name, plan in usual.items()}
    for name, plan in shown.items():
        hours, memory = plan.hours, plan.memory
        print(
            f"{name:17} {hours.expected:6.2f} h ({hours.low:.2f}–{hours.high:.2f}), training "
            f"{plan.parts['training']:.2f}; {memory.peak / 1e9:.2f} GB at the peak, {plan.disk.kept / 1e6:.0f} MB kept"
        )
    print(json.dumps(document["headline"], indent=2))


def _worst(recipes: dict[str, Any]) -> float:
    """Low hours of `best` over those of `notebook`, on a card whose launches are as slow as they may be."""
    t4 = find_gpu("T4")
    slow = replace(t4, launch=t4.launch * t4.launch_factors[1], launch_factors=(1.0, 1.0))
    planner = Planner(slow, calibrated=False)
    best, notebook = (planner.plan(recipes[name]).hours.low for name in ("best", "notebook"))
    return best / notebook


def shortened(comparison: dict[str, Any]) -> dict[str, Any]:
    """Without the two plans, which the document has already."""
    return {key: value for key, value in comparison.items() if key not in {"a", "b"}}


if __name__ == "__main__":
    main()
