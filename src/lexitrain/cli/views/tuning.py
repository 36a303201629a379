"""How `lexitrain tune` shows a study: its price, what happens, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from lexitrain.cli.terminal.console import console, errors_console
from lexitrain.cli.terminal.progress import NowAndThen

if TYPE_CHECKING:
    from lexitrain import Band, SweepPoint, TuningResult

_SECONDS_BETWEEN_LINES = 15.0
_MANY_TRIALS = 40


class TuningProgress:
    """Shows what `tune` tells its observer, on standard error."""

    def __init__(self) -> None:
        self._out = errors_console()
        self._lines = NowAndThen(_SECONDS_BETWEEN_LINES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def priced(self, planned: TuningResult) -> None:
        """The price is known: shown before anything is trained."""
        from rich.table import Table

        price = planned.price
        what = "race" if planned.kind == "race" else "sweep"
        head = f"{what} over {', '.join(planned.axes)}, from {planned.recipe}; budget: {planned.budget}"
        self._out.print(head, markup=False, soft_wrap=True)
        if planned.scale is not None:
            said = f"alpha follows the rank: the adapter's scale (alpha / rank) stays {planned.scale:g}"
            self._out.print(said, markup=False, soft_wrap=True)
        if price is None:
            said = f"its cost cannot be foreseen: {planned.not_foreseen}"
            self._out.print(said, markup=False, soft_wrap=True)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("", "trials", "of a run", "hours"):
            table.add_column(heading, justify="left" if not heading else "right")
        for stage in price.stages:
            share = f"{stage.share:.0%}"
            table.add_row(stage.title, str(stage.trials), share, _band(stage.hours))
        table.add_row(
            "all", str(sum(stage.trials for stage in price.stages)), "", _band(price.hours)
        )
        self._out.print(table)
        cost = "" if price.dollars is None else f"; ${_band(price.dollars)}"
        said = f"on {price.device}, speed {price.basis}{cost}; a whole run {_band(price.run)} h"
        self._out.print(said, markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Something happened."""
        self._out.print(text, markup=False, soft_wrap=True)

    def step(self, trial: str, step: int, total_steps: int) -> None:
        """A trial has done a step: a line now and then."""
        if self._lines.due():
            self._out.print(f"trial {trial}: step {step}/{total_steps}", markup=False)


def _band(band: Band) -> str:
    return f"{band.expected:.3g} ({band.low:.2g} to {band.high:.2g})"


def print_found(found: TuningResult) -> None:
    """The table of a sweep or of a race, and the best recipe."""
    if found.kind == "sweep":
        _print_points(found)
    else:
        _print_rungs(found)
    out = console()
    failed = [each for each in found.outcomes if each.loss is None]
    for each in failed[:3]:
        out.print(f"failed: trials/{each.run}: {each.reason}", markup=False, soft_wrap=True)
    if len(failed) > 3:
        out.print(
            f"and {len(failed) - 3} more failed, see {found.out / 'result.json'}", markup=False
        )
    if found.state == "budget":
        said = f"The budget ({found.budget}) is spent; with a larger one the same command goes on."
        out.print(said, markup=False, soft_wrap=True)
    if found.incomparable:
        said = f"These losses do not compare: {found.incomparable}. So there is no best; compare time and memory."
        out.print(said, markup=False, soft_wrap=True)
        return
    if found.best is None:
        out.print("No trial has a loss: there is no best recipe.", markup=False)
        return
    out.print(f"\nBest: {found.best.changed}", markup=False, soft_wrap=True)
    baseline = found.best.baseline
    against = "" if baseline is None else f", {found.recipe} itself {baseline:.4f}"
    share = "" if found.best.share >= 1 else f" after {found.best.share:.0%} of the samples"
    out.print(f"validation loss {found.best.loss:.4f}{against}{share}", markup=False)
    out.print(f"Recipe: {found.best_recipe}", markup=False, soft_wrap=True)
    out.print(f"Its run: {found.best.run}", markup=False, soft_wrap=True)


def _print_points(found: TuningResult) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (
        *found.axes,
        "validation loss",
        "95 % interval",
        "seconds",
        "memory GB",
        "parameters",
    ):
        table.add_column(heading, justify="right")
    for point in found.points:
        table.add_row(*(str(value) for value in point.values.values()), *_numbers(point))
    console().print(table)
    if found.diminishing is not None:
        said = f"From {found.diminishing} on no larger value is shown to be better (differences seed by seed, 95 %)."
        console().print(said, markup=False, soft_wrap=True)


def _numbers(point: SweepPoint) -> list[str]:
    loss, seconds, memory = point.loss, point.seconds, point.memory_gb
    between = "–" if loss is None or loss.low is None else f"{loss.low:.4f} to {loss.high:.4f}"
    return [
        "–" if loss is None else f"{loss.mean:.4f}",
        between,
        "–" if seconds is None else f"{seconds:.0f}",
        "–" if memory is None else f"{memory:.3f}",
        "–" if point.parameters is None else f"{point.parameters:,}",
    ]


def _print_rungs(found: TuningResult) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("samples", "trial", "validation loss", "seconds", "what is changed"):
        table.add_column(heading, overflow="fold")
    for each in found.outcomes[-_MANY_TRIALS:]:
        loss = "failed" if each.loss is None else f"{each.loss:.4f}"
        table.add_row(
            f"{each.unit.share:.0%}", each.run, loss, f"{each.seconds:.0f}", each.unit.changed
        )
    console().print(table)
