"""How `lexitrain plan` shows what it found: numbers, a memory bar, the table of changes, the levers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from rich.table import Table

    from lexitrain import Band, Calibration, Comparison, Option, Plan, Recommendation

_WIDTH = 60
_COLOURS = ("blue", "cyan", "magenta", "yellow", "green", "red", "white", "bright_blue")
_LETTERS = "█▓▒░▞▚▤▥"


def print_plan(plan: Plan, warnings: Sequence[str], comparison: Comparison | None) -> None:
    """One plan with its warnings, and its comparison where there is one."""
    from rich.markup import escape

    shown = console()
    recipe, steps = plan.recipe, plan.steps
    shown.print(
        f"[bold]{_named(plan)}[/] on {plan.gpu.name}, {recipe.model.base}, {plan.target.dtype}"
    )
    shown.print(f"Data: {plan.data.source}.", markup=False)
    shown.print(f"Speed: {_basis(plan)}.\n", markup=False)
    grid = _plain_table()
    grid.add_row(
        "arithmetic",
        f"{plan.flops / 1e12:.2f} TFLOP a step",
        f"counted; {plan.trainable_parameters:,} parameters trained",
    )
    grid.add_row("hours", _band(plan.hours, "h"), _shares(plan))
    cost = plan.cost
    if cost is not None:
        grid.add_row("cost", _band(cost, "$"), f"at ${plan.price:g} an hour")
    grid.add_row(
        "step",
        _band(plan.step_seconds, "s"),
        f"{number_of(steps.total_steps, 'step')} of {recipe.step.effective_batch}, "
        f"{number_of(steps.samples, 'sample')} an epoch",
    )
    grid.add_row(
        "tokens",
        f"{steps.layout_tokens:,.0f} a step",
        f"{steps.real_tokens:,.0f} in the samples, {steps.supervised_tokens:,.0f} scored, {steps.cuts:.1f} cuts",
    )
    launch = plan.launch.times(1e6)
    operations = "operations" if plan.gpu.is_cpu else "kernels"
    grid.add_row(
        "launches",
        f"{plan.launches:,.0f} a step",
        f"{operations} started, {launch.expected:.0f} µs each ({launch.low:.0f}–{launch.high:.0f}), "
        f"{_band(plan.launch.times(plan.launches), 's')} a step",
    )
    disk = plan.disk
    mirrored = f", and {disk.mirror / 1e6:,.0f} MB mirrored" if disk.mirror else ""
    grid.add_row(
        "checkpoints",
        f"{disk.each / 1e6:,.1f} MB each",
        f"{disk.kept / 1e6:,.1f} MB kept{mirrored}",
    )
    shown.print(grid)
    _print_memory(plan)
    for field, value in plan.choices.items():
        shown.print(f"chosen: {field} = {value}", markup=False)
    for warning in warnings:
        shown.print(f"[yellow]note[/] {escape(warning)}")
    if comparison is not None:
        print_comparison(comparison)  # fmt: skip


def print_comparison(comparison: Comparison) -> None:
    """The table of changes with the claims, then the levers."""
    from rich.table import Table

    shown = console()
    a, b = comparison.a, comparison.b
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left",
                  title=f"\n{a.recipe.name} → {b.recipe.name}, each change alone")  # fmt: skip
    old, new = (f"{word} ({_named(plan)})" for word, plan in (("old", a), ("new", b)))
    for heading in ("", old, new, "foreseen", "claimed"):
        table.add_column(heading, overflow="fold")
    for row in comparison.rows:
        colour = {"holds": "green", "exceeded": "yellow"}.get(row.verdict, "red")
        verdict = f" [{colour}]{row.verdict}[/]" if row.verdict else ""
        table.add_row(row.what, row.old, row.new, row.improvement, f"{row.claim}{verdict}")
    shown.print(table)
    for row in comparison.rows:
        if row.why:
            shown.print(f"  {row.what}: {row.why}", markup=False)
    if comparison.defaults:
        from lexitrain import field_text

        told = ", ".join(f"{field}={field_text(value)}" for field, value in comparison.defaults)
        shown.print(f"  {a.recipe.name} does not say, so these are defaults: {told}", markup=False)
    _print_levers(comparison)


def print_recommendation(found: Recommendation, warnings: Sequence[str] = ()) -> None:
    """What to take, why, what else there is and what decided against it, and what to know of what to take."""
    from rich.table import Table

    shown = console()
    taken = found.best or found.nearest
    if taken is not None:
        word = "Take" if found.best else "Nearest"
        settings = "".join(f" --set {shlex.quote(each)}" for each in taken.settings)
        shown.print(f"[bold]{word}[/] --recipe {taken.plan.recipe.name}{settings}")
    shown.print(found.why, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left",
                  title="\nNo other choice beats these in rank, hours and memory at once")  # fmt: skip
    for heading in ("recipe", "settings"):
        table.add_column(heading, overflow="fold")
    for heading in ("hours", "low–high", "GB", "epochs", "rank"):
        table.add_column(heading, justify="right")
    table.add_column("why", overflow="fold")
    for option, decided in zip(found.pareto, found.decided, strict=True):
        table.add_row(*_option(option), decided)
    shown.print(table)
    shown.print(
        "Ranked by size of the base, then epochs, adapter rank, sample length: experience, not measurement; "
        "`lexitrain compare` measures."
    )
    for note in found.notes:
        shown.print(note, markup=False)
    for warning in warnings:
        shown.print(f"note {warning}", markup=False)


def print_calibration(measured: Calibration) -> None:
    """What was measured, and how well the real steps are foreseen with it."""
    from lexitrain import calibration_folder

    shown = console()
    shown.print(
        f"Measured {measured.device} ({measured.precision}), kept in {calibration_folder()}.",
        markup=False,
    )
    table = _plain_table()
    for heading in ("real step", "measured", "foreseen", "error"):
        table.add_column(heading, justify="left" if heading == "real step" else "right")
    table.show_header = True
    for step in measured.steps:
        error = step["predicted"] / step["measured"] - 1
        table.add_row(
            step["what"], f"{step['measured']:.3f} s", f"{step['predicted']:.3f} s", f"{error:+.1%}"
        )
    shown.print(table)
    shown.print()  # fmt: skip


def _plain_table() -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False, show_header=False)


def _named(plan: Plan) -> str:
    """The recipe's name, and whose step it has where that is not this product's."""
    return plan.recipe.name + (" in Transformers Trainer" if plan.engine == "trainer" else "")


def _basis(plan: Plan) -> str:
    if plan.calibration is not None:
        measured = f"measured on this kind of device on {plan.calibration.date}; the range is 15 % either way"
        graphs = ", and that of the time between the kernels of a CUDA graph, which is assumed"
        return measured + (graphs if plan.memory.graphs else "")
    if plan.gpu.status == "fitted":
        return (
            "data sheet, with the achieved share fitted on published runs; predicted, not measured"
        )
    return (
        "data sheet alone, a wide range; predicted, not measured. `lexitrain plan --calibrate` on the device "
        "narrows it"
    )


def _band(band: Band, unit: str) -> str:
    digits = 3 if band.expected < 1 else 2
    if unit == "$":
        return f"${band.expected:.2f} (${band.low:.2f}–${band.high:.2f})"
    return f"{band.expected:.{digits}f} {unit} ({band.low:.{digits}f}–{band.high:.{digits}f})"


def _shares(plan: Plan) -> str:
    total = sum(plan.parts.values()) or 1.0
    return ", ".join(f"{part} {hours / total:.0%}" for part, hours in plan.parts.items())


def _print_memory(plan: Plan) -> None:
    """The peak by part against the device's memory."""
    from rich.text import Text

    shown = console()
    memory, limit = plan.memory, plan.memory_limit
    total = memory.device_total
    scale = _WIDTH / max(limit, total)
    verdict = "[green]fits[/]" if plan.fits else "[red]does not fit[/]"
    shown.print(
        f"\nmemory      {memory.peak / 1e9:.2f} GB at the peak, {total / 1e9:.2f} GB of the device with what "
        f"the allocator and the runtime hold; {limit / 1e9:.2f} GB there: {verdict}"
    )
    shown_as = [*zip(_COLOURS, _LETTERS, strict=True)]
    parts = memory.parts()
    reserve = ("reserve", total - memory.peak), ("bright_black", "·")
    pieces = [*zip(parts.items(), shown_as[: len(parts)], strict=True), reserve]
    bar = Text("            ")
    legend = Text("            ")
    drawn, sum_so_far = 0, 0.0
    for (name, size), (colour, letter) in pieces:
        sum_so_far += size
        cells = round(sum_so_far * scale) - drawn
        drawn += cells
        bar.append(letter * cells, style=colour)
        legend.append(f"{letter} {name} {size / 1e9:.2f}  ", style=colour)
    bar.append("·" * max(0, _WIDTH - drawn), style="dim")
    shown.print(bar)
    shown.print(legend)
    shown.print()  # fmt: skip


def _print_levers(comparison: Comparison) -> None:
    """Each lever's own share, as bars to the right (saves) or left (costs)."""
    from rich.table import Table

    shown = console()
    a, b = comparison.a, comparison.b
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left",
                  title="\nEach change's own share, in both orders on the average")  # fmt: skip
    for heading, side in (("lever", "left"), ("hours saved", "right"), ("", "left"),
                          ("GB saved", "right"), ("", "left")):  # fmt: skip
        table.add_column(heading, justify="right" if side == "right" else "left")
    most_hours = max((abs(each.hours) for each in comparison.levers), default=1) or 1
    most_memory = max((abs(each.memory_gb) for each in comparison.levers), default=1) or 1
    for each in comparison.levers:
        table.add_row(
            each.name,
            f"{each.hours:+.3f}", _bar(each.hours / most_hours),
            f"{each.memory_gb:+.2f}", _bar(each.memory_gb / most_memory),
        )  # fmt: skip
    table.add_row(
        "[bold]all[/]",
        f"[bold]{a.hours.expected - b.hours.expected:+.3f}[/]", "",
        f"[bold]{(a.memory.peak - b.memory.peak) / 1e9:+.2f}[/]", "",
    )  # fmt: skip
    shown.print(table)


def _bar(share: float) -> str:
    colour = "green" if share >= 0 else "red"
    return f"[{colour}]{'█' * round(20 * abs(share))}[/]"


def _option(option: Option) -> tuple[str, ...]:
    plan = option.plan
    return (
        plan.recipe.name,
        " ".join(option.settings) or "as it is",
        f"{plan.hours.expected:.2f}",
        f"{plan.hours.low:.2f}–{plan.hours.high:.2f}",
        f"{option.memory_gb:.2f}",
        str(plan.recipe.schedule.epochs),
        str(plan.recipe.lora.rank),
    )
