"""How `lexitrain data lengths` shows what it measured: lengths by task, what covers them, tokens by layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from lexitrain import LengthReport


def print_lengths(report: LengthReport, recipe: str) -> None:
    """The report of the samples that a recipe of this name would train on."""
    from rich.markup import escape
    from rich.table import Table

    shown = console()
    table = Table(
        box=None, pad_edge=False, header_style="bold", title="tokens a sample", title_justify="left"
    )
    table.add_column("task")
    for heading in ("samples", "mean", "p50", "p90", "p95", "p99", "max", "prompt", "completion"):
        table.add_column(heading, justify="right")
    for name, task in report.tasks.items():
        total = task.total
        table.add_row(
            name, f"{task.samples:,}", f"{total.mean:.1f}",
            *(f"{each:,}" for each in (total.p50, total.p90, total.p95, total.p99, total.max)),
            f"{task.prompt.mean:.1f}", f"{task.completion.mean:.1f}",
        )  # fmt: skip
    shown.print(table)
    covers = ", ".join(f"{length} for {share:.4g} %" for share, length in
                       ((100 * share, length) for share, length in report.covering.items()))  # fmt: skip
    shown.print(f"\nmax_length that leaves samples whole: {covers}.")
    shown.print(
        f"{recipe} uses {report.max_length}, which shortens {report.shortened:.2%} of the samples.\n"
    )
    if report.unfit:
        shown.print(
            f"{number_of(report.unfit, 'sample does', 'samples do')} not fit even without the learner's text.\n"
        )
    layouts = Table(box=None, pad_edge=False, header_style="bold",
                    title=f"tokens a step of {report.effective_batch}", title_justify="left")  # fmt: skip
    layouts.add_column("layout")
    for heading in ("tokens", "padding"):
        layouts.add_column(heading, justify="right")
    named = {
        "padded": f"padded to {report.max_length}",
        "padded_to_longest": f"padded to the longest of {report.micro_batch}",
        "packed": "packed",
        "tree": "prefix tree",
    }
    for layout, name in named.items():
        waste = report.padding_waste.get(layout, 0.0)
        layouts.add_row(name, f"{report.step_tokens[layout]:,.0f}", f"{waste:.0%}")
    shown.print(layouts)
    for warning in report.warnings:
        shown.print(f"\n[yellow]note[/] {escape(warning)}", soft_wrap=True)
