"""The picture of `lexitrain plan --plot`: memory by part, and the levers where two recipes are compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.reporting.png import check_png, new_figure, save_png

if TYPE_CHECKING:
    from lexitrain.planning import Comparison, Plan

_COLOURS = ("#3b6ea5", "#5aa9c8", "#8e6bb5", "#d6a13c", "#5b9e5b", "#c0392b", "#8a8a8a", "#e0a3c4")
"""Of the parts of the memory; the last one of the graphs, which not every plan has."""
_RESERVE = "#d0d0d0"


def draw_plan(plan: Plan, comparison: Comparison | None, path: str | Path) -> None:
    """Draw the memory bar (both recipes' where there are two) and the waterfall of hours into a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
        InputError: `path` is no PNG.
    """
    check_png(path)
    rows = 1 if comparison is None else 3
    figure = new_figure(9, 2.4 + 3.4 * (rows - 1))
    axes: Any = figure.subplots(rows, 1, squeeze=False)[:, 0]
    plans = [plan] if comparison is None else [comparison.b, comparison.a]
    _memory(axes[0], plans)
    if comparison is not None:
        levers = comparison.levers
        _waterfall(
            axes[1],
            [(each.name, each.hours) for each in levers],
            (comparison.a.hours.expected, comparison.b.hours.expected),
            "hours",
        )
        _waterfall(
            axes[2],
            [(each.name, each.memory_gb) for each in levers],
            (comparison.a.memory.peak / 1e9, comparison.b.memory.peak / 1e9),
            "GB at the peak",
        )
    save_png(figure, path)


def _memory(axes: Any, plans: list[Plan]) -> None:
    """One stacked bar a plan, and a line where the device ends."""
    labelled: set[str] = set()
    for place, plan in enumerate(plans):
        memory = plan.memory
        parts = memory.parts()
        rest = ("allocator and runtime", memory.device_total - memory.peak), _RESERVE
        left = 0.0
        for (name, size), colour in (*zip(parts.items(), _COLOURS, strict=False), rest):
            label = None if name in labelled else name
            axes.barh(place, size / 1e9, left=left, color=colour, label=label)
            labelled.add(name)
            left += size / 1e9
    axes.axvline(plans[0].memory_limit / 1e9, color="black", linestyle="--")
    axes.set_yticks(range(len(plans)), [plan.recipe.name for plan in plans])
    axes.set(xlabel="GB", title=f"Memory on {plans[0].gpu.name} (dashed: what there is)")
    axes.legend(ncols=4, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.25))


def _waterfall(
    axes: Any, levers: list[tuple[str, float]], ends: tuple[float, float], unit: str
) -> None:
    """From the old value down to the new one, a bar a lever, each with its number."""
    old, new = ends
    axes.bar(0, old, color="#555555")
    level, lowest, tops = old, 0.0, [(old, f"{old:.2f}")]
    for place, (_, saved) in enumerate(levers, start=1):
        axes.bar(place, -saved, bottom=level, color="#5b9e5b" if saved >= 0 else "#c0392b")
        axes.plot([place - 1, place], [level, level], color="#999999", linewidth=0.8)
        share = f"{-saved:+.2f}" if abs(saved) >= 0.005 else "0"
        tops.append((max(level, level - saved), share))
        level -= saved
        lowest = min(lowest, level)
    axes.plot([len(levers), len(levers) + 1], [level, level], color="#999999", linewidth=0.8)
    axes.bar(len(levers) + 1, new, color="#3b6ea5")
    tops.append((new, f"{new:.2f}"))
    for place, (top, text) in enumerate(tops):
        axes.annotate(
            text, (place, top), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_ylim(1.15 * lowest, 1.15 * max(top for top, _ in tops))  # room for the numbers
    names = ["old", *(name for name, _ in levers), "new"]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
    axes.set(ylabel=unit, title=f"Each change's own share, predicted: {unit}")
