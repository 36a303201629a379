"""How `lexitrain doctor` shows what it found before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console

if TYPE_CHECKING:
    from lexitrain import Preflight

_SIGNS = {"ok": ("green", "ok"), "warn": ("yellow", "warn"), "refuse": ("red", "refuse")}


def print_preflight(found: Preflight, *, with_data: bool) -> None:
    """A line a check; of those that are not well also why it matters, and what to do."""
    from rich.markup import escape

    out = console()
    for check in found.checks:
        colour, sign = _SIGNS[check.verdict]
        out.print(
            f"[{colour}]{sign:7}[/] [bold]{check.name}[/]: {escape(check.found)}", soft_wrap=True
        )
        for text in filter(None, (check.why, check.fix)):
            out.print(f"        {text}", markup=False, soft_wrap=True)
    counts = found.to_json()
    told = f"{counts['ok']} ok, {counts['warn']} to think about, {counts['refuse']} refused"
    out.print(f"\n{told}.", markup=False)
    if not with_data:
        out.print("With --data DIR it looks at the records and the model too.", markup=False)
