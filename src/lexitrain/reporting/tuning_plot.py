"""The picture of `lexitrain tune`: the curve of a sweep with its intervals, or the rungs of a race."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.reporting.png import check_picture, new_figure, save_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexitrain.tuning import SweepPoint, TuningResult

_INK, _BEST, _OTHER = "#3b6ea5", "#c0392b", "#8a8a8a"


def draw_tuning(found: TuningResult, path: str | Path) -> None:
    """Draw what a study found: of a sweep validation loss, time, memory and parameters by value, of a race the loss of
    every candidate by rung. A PNG or an SVG, as the name says.

    Raises:
        MissingExtra: matplotlib is not installed.
        InputError: `path` is neither, or cannot be written.
    """
    check_picture(path)
    figure = new_figure(9, 7) if found.kind == "sweep" else new_figure(8, 4.5)
    if found.kind == "sweep":
        _sweep(figure, found)
    else:
        _race(figure.add_subplot(), found)
    save_picture(figure, path)


def _sweep(figure: Any, found: TuningResult) -> None:
    axes: Any = figure.subplots(2, 2)
    points = _in_order([each for each in found.points if each.loss is not None])
    where, ticks = _places(points, found.axes)
    means = [0.0 if each.loss is None else each.loss.mean for each in points]
    lows = [mean - _low(each, mean) for each, mean in zip(points, means, strict=True)]
    axes[0][0].errorbar(
        where, means, yerr=lows, color=_INK, marker="o", capsize=4, linestyle=_line(found)
    )
    seeds = max((each.loss.count for each in points if each.loss is not None), default=0)
    interval = "95 % interval" if seeds > 1 else "no interval"
    axes[0][0].set(ylabel="validation loss", title=f"{number_of(seeds, 'seed')}, {interval}")
    others = (
        (axes[0][1], "seconds a run", [each.seconds or 0.0 for each in points]),
        (axes[1][0], "peak memory, GB", [each.memory_gb or 0.0 for each in points]),
        (
            axes[1][1],
            "trained parameters, million",
            [(each.parameters or 0) / 1e6 for each in points],
        ),
    )
    for shown, label, values in others:
        shown.plot(where, values, color=_INK, marker="o", linestyle=_line(found))
        shown.set(ylabel=label, ylim=(0, 1.08 * max(values, default=0) or 1))
    for shown in axes.flat:
        shown.set_xticks(where, ticks, rotation=0 if len(found.axes) == 1 else 30)
        shown.set_xlabel(", ".join(found.axes))


def _in_order(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """By rising values where all of them are numbers, else as they were given."""
    if all(_is_number(value) for each in points for value in each.values.values()):
        return sorted(points, key=lambda each: tuple(each.values.values()))
    return list(points)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(points: Sequence[SweepPoint], names: Sequence[str]) -> tuple[list[float], list[str]]:
    """Where on the horizontal axis each point stands, and its label: numbers at their value, all else one by one."""
    labels = [", ".join(str(value) for value in each.values.values()) for each in points]
    values = [each.values[names[0]] for each in points]
    if len(names) == 1 and all(_is_number(value) for value in values):
        return [float(value) for value in values], labels
    return [float(place) for place in range(len(points))], labels


def _low(point: SweepPoint, mean: float) -> float:
    return mean if point.loss is None or point.loss.low is None else point.loss.low


def _line(found: TuningResult) -> str:
    return "-" if len(found.axes) == 1 else ""


def _race(axes: Any, found: TuningResult) -> None:
    """A line a candidate from rung to rung, on a scale where early and late losses both show."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for each in found.outcomes:
        if each.loss is not None:
            lines.setdefault(each.unit.run_key, []).append((100 * each.unit.share, each.loss))
    best = None if found.best is None else found.best.changes
    own = {each.unit.run_key for each in found.outcomes if not each.unit.changes}
    won = {each.unit.run_key for each in found.outcomes if each.unit.changes == best}
    for key, points in lines.items():
        colour = _BEST if key in won else _INK if key in own else _OTHER
        label = "best" if key in won else found.recipe if key in own else None
        shares, losses = zip(*sorted(points), strict=True)
        axes.plot(shares, losses, color=colour, marker="o", label=label, zorder=3 if label else 2)
    axes.set(
        xlabel="share of the samples, %",
        ylabel="validation loss",
        title="Race: the best third goes on",
        xscale="log",
        yscale="log",
    )
    ticks = sorted({100 * each.unit.share for each in found.outcomes})
    axes.set_xticks(ticks, [f"{each:.3g}" for each in ticks])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    if lines:
        axes.legend()
