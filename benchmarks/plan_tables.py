"""The tables of the planning page: what is foreseen for the team's T4, and how near the usual trainer is foreseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.markdown import on_what, result, table


def plan_arithmetic() -> str:
    """What is counted."""
    plans = result("plan-t4")["plans"]
    whole = {name: plan["flops_per_step"] * plan["steps"] for name, plan in plans.items()}
    rows = [
        [
            f"`{name}`",
            f"{plan['flops_per_step'] / 1e12:.1f}",
            f"{plan['steps']:,}",
            f"{whole[name] / 1e12:,.0f}",
            _share(whole[name] / whole["notebook"]),
        ]
        for name, plan in plans.items()
    ]
    return table(("recipe", "TFLOP a step", "steps", "TFLOP in all", "of `notebook`'s"), rows)


def _share(share: float) -> str:
    if share == 1:
        return "1"
    return f"{share:.2f}" if share < 1 else f"{share:.1f}"


def plan_hours() -> str:
    """What is predicted, the team's observations beside the trainer that it ran."""
    found = result("plan-t4")
    rows: list[list[str]] = []
    for name, plan in found["plans"].items():
        rows.append([f"`{name}`", *_foreseen(plan), ""])
        if name in found["usual_trainer"]:
            seen = found["observed_by_the_team"][name]
            (least, most), (low, high) = seen["hours"], seen["memory_gb"]
            rows.append(
                [
                    f"`{name}`, Transformers Trainer",
                    *_foreseen(found["usual_trainer"][name]),
                    f"{least}–{most} h, {low}–{high} GB, {seen['checkpoints_gb']} GB of checkpoints",
                ]
            )
    head = (
        "recipe",
        "hours (low–high)",
        "of which training",
        "memory, peak",
        "checkpoints kept",
        "the team observed",
    )
    return table(head, rows)


def _foreseen(plan: dict[str, Any]) -> tuple[str, ...]:
    hours = plan["hours"]
    return (
        f"{hours['expected']:.2f} ({hours['low']:.2f}–{hours['high']:.2f})",
        f"{plan['hours_by_part']['training']:.2f}",
        f"{plan['memory_gb']['peak']:.2f} GB",
        f"{plan['checkpoint_mb']['kept']:.0f} MB",
    )


def claims() -> str:
    """What was claimed of each change, and what becomes of it."""
    found = result("plan-t4")["versus"]["slow → notebook"]["improvement"]["table"]
    rows = [
        [
            f"{row['what']} {row['old']} → {row['new']}",
            row["improvement"],
            row["claim"],
            row["verdict"] + (f": {row['why'][0].lower()}{row['why'][1:]}" if row["why"] else ""),
        ]
        for row in found
        if row["claim"]
    ]
    return table(("change", "foreseen, alone", "claimed", "the claim"), rows)


def usual_trainer() -> str:
    """Its peak, foreseen and measured."""
    found = result("usual_trainer")
    rows = [
        [
            f"`{row['configuration']}`",
            f"{found['shapes'][row['shape']]['layers']} layers of {found['shapes'][row['shape']]['hidden']}",
            f"{row['foreseen_bytes'] / 1e6:.1f}",
            f"{row['measured_bytes'] / 1e6:.1f}",
            f"{row['error']:+.2%}",
        ]
        for row in found["rows"]
    ]
    head = ("competitor", "base", "foreseen, MB", "measured, MB", "error")
    return on_what(found) + table(head, rows)


PLAN_TABLES: dict[str, Callable[[], str]] = {
    each.__name__: each for each in (plan_arithmetic, plan_hours, claims, usual_trainer)
}
