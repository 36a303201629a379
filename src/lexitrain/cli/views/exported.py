"""How an export looks: what was written, what is shown of it, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lexitrain.errors import number_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lexitrain import ExportedFile, ExportReport, PhoneBudget


def print_export(out: Console, report: ExportReport) -> None:
    """Print the files, the verification, and a verdict."""
    from rich.markup import escape

    out.print(_files(report))
    for file in report.files:
        if file.phone is not None:
            out.print(
                f"{escape(file.path.name)} on a phone: {_on_a_phone(file.phone)}", soft_wrap=True
            )
    for file in report.files:
        if file.merge is not None:
            found = file.merge.to_json()
            out.print(
                f"\n{escape(file.path.name)}: largest logit difference to base and adapter "
                f"{found['largest_logit_difference']:.2g}, mean KL {found['mean_kl']:.2g} over "
                f"{number_of(found['positions'], 'token')} of answers.",
                soft_wrap=True,
            )
    verified = [file for file in report.files if file.verification is not None]
    if verified:
        out.print("\n[bold]Held against the adapter on the same records[/]")
        out.print(_distances(verified))
        out.print()
        out.print(_speeds(verified))
        out.print()
        out.print(_scores(report.files))
        out.print(
            "KL: of the next token's distribution, over all tokens of reference answers, in nats. No worse: by the "
            "whole 95 % interval of the difference. Grammar: finished answers under it that are valid. Speed: here, "
            "one prompt at a time."
        )
    for note in report.notes:
        out.print(f"\n{escape(note)}", soft_wrap=True)
    beside = sorted(
        {path.parent.name if path.parent != report.folder else path.name for path in report.beside}
    )
    out.print(f"\nAll in {escape(str(report.folder))}, with {', '.join(beside)}.", soft_wrap=True)
    if report.chosen is not None:
        out.print(f"[green]best[/]: {escape(report.chosen.name)}", soft_wrap=True)
    for sentence in report.missed:
        out.print(f"[red]missed[/]: {escape(sentence)}", soft_wrap=True)
    if verified and not report.missed:
        out.print("[green]verified[/]: nothing was lost that the margin does not allow.")


def print_exported_file(report: ExportReport) -> None:
    """One verified file in a few lines."""
    from rich.markup import escape

    from lexitrain.cli.terminal.console import console

    out, file = console(), report.files[0]
    found = file.verification
    if found is None:
        return
    far = found.distances.to_json()
    out.print(
        f"\n[bold]{escape(file.path.name)}[/], {file.bytes / 1e6:.1f} MB, answered the same records through llama.cpp: "
        f"{found.equal_answers:.0%} of its answers are the adapter's letter by letter, the same first choice at "
        f"{far['top_1']:.1%} of {number_of(far['positions'], 'token')} (KL {far['mean_kl']:.1e}).",
        soft_wrap=True,
    )
    if not report.missed:
        out.print(
            f"[green]No worse than the adapter by {found.margin:g}[/] is shown in every task."
        )
    for sentence in report.missed:
        out.print(f"[yellow]missed[/]: {escape(sentence)}", soft_wrap=True)


def _table(*headings: str, left: int = 1) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < left else "right", no_wrap=True)
    return table


def _files(report: ExportReport) -> Table:
    table = _table("file", "size", "written in", "types of its tensors")
    table.columns[3].justify = "left"
    table.columns[3].no_wrap = False
    for file in report.files:
        types = ", ".join(f"{count} × {name}" for name, count in file.types.most_common())
        biases = f" ({file.biases} biases)" if file.biases else ""
        table.add_row(
            file.path.name,
            f"{file.bytes / 1e6:,.1f} MB",
            f"{file.seconds:.1f} s",
            f"{types}{biases}" if types else "–",
        )
    return table


def _on_a_phone(budget: PhoneBudget) -> str:
    size = budget.smallest_phone_gb
    fits = "more than half of 8 GB" if size is None else f"at most half of {size} GB"
    speed = budget.tokens_per_second
    rate = "over 60" if speed is None else f"{speed[0]:.0f} to {speed[1]:.0f}"
    return (
        f"{budget.memory_mb:,.0f} MB with a context of {number_of(budget.context, 'token')}, {fits}; predicted "
        f"{rate} tokens/s on "
        "a Samsung S20 FE, not measured."
    )


def _distances(files: list[ExportedFile]) -> Table:
    table = _table(
        *("", "tokens", "KL", "same first choice", "perplexity", "equal answers", "grammar")
    )
    for file in files:
        if file.verification is None:
            continue
        held, far = file.verification.held, file.verification.distances.to_json()
        table.add_row(
            file.path.name,
            f"{far['positions']:,}",
            f"{far['mean_kl']:.1e}",
            f"{far['top_1']:.2%}",
            f"{far['perplexity']['adapter']:.3f} → {far['perplexity']['file']:.3f}",
            f"{file.verification.equal_answers:.1%}",
            f"{held.finished - held.invalid} of {held.finished}",
        )
    return table


def _speeds(files: list[ExportedFile]) -> Table:
    table = _table("", "loads in", "reads", "writes", "memory")
    for file in files:
        if file.verification is None:
            continue
        speed = file.verification.speed
        table.add_row(
            file.path.name,
            f"{speed.load_seconds:.1f} s",
            _per_second(speed.prompt_tokens_per_second),
            _per_second(speed.tokens_per_second),
            f"{speed.memory_mb:,.0f} MB",
        )
    return table


def _per_second(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} tokens/s"


def _scores(files: Sequence[ExportedFile]) -> Table:
    table = _table("", "task", "score", "difference", "95 % interval", "no worse", left=3)
    for file in files:
        name = file.path.name
        for task in file.merge_tasks if file.verification is None else file.verification.tasks:
            each = task.decisive
            known = each.low is not None and each.high is not None
            table.add_row(
                name,
                task.task,
                task.primary.replace("_", " "),
                "–" if each.value is None else f"{each.value:+.3f}",
                f"{each.low:+.3f} – {each.high:+.3f}" if known else "–",
                task.no_worse,
            )
            name = ""
    return table
