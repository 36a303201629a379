"""How `lexitrain data prepare` ends: what was read, dropped and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexitrain.cli.terminal.console import console
from lexitrain.errors import number_of


def print_preparation(report: dict[str, Any], out: Path) -> None:
    """What was read, dropped and kept of each task, and why."""
    from rich.table import Table

    from lexitrain import REPORT, SPLITS, file_name

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    for heading in ("read", "dropped", *SPLITS):
        table.add_column(heading, justify="right")
    for name, task in report["tasks"].items():
        numbers = (
            task["read"],
            task["read"] - task["kept"],
            *(task[split] for split in report["splits"]),
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    records = report["records"]
    splits = (split["records"] for split in report["splits"].values())
    totals = (records["read"] - records["bad"], records["dropped"], *splits)
    table.add_row("all", *(f"[bold]{number:,}[/]" for number in totals))
    shown = console()
    shown.print(table)
    for reason, count in _reasons(report).items():
        shown.print(f"dropped: {reason}, {count:,}", markup=False)
    if records["bad"]:
        shown.print(f"bad records: {records['bad']:,}", markup=False)
        for place in report["bad_records"][:5]:
            shown.print(f"  {place}", markup=False)
    _print_own_splits(report["own_splits"])
    for task, keys in report["lacking"].items():
        for key, count in keys.items():
            shown.print(_lacking(task, key, count), markup=False)
    for task, keys in report["unlearnt"].items():
        named = ", ".join(f"`{key}` in {count:,}" for key, count in keys.items())
        text = f"Of the outputs of {task} records these keys are not taught: {named}."
        shown.print(text, markup=False)
    if left := report["not_read"]:
        named = ", ".join(left[:5]) + (", …" if len(left) > 5 else "")
        shown.print(f"not read, no records by their names: {named}", markup=False)
    print_advice(report["advice"])
    written = ", ".join((*map(file_name, SPLITS), REPORT))
    shown.print(f"Written to {out}: {written}.", markup=False)


def print_advice(advice: Sequence[Mapping[str, Any]]) -> None:
    """What in the data will explain a bad score, a sentence each; nothing where there is none."""
    if not advice:
        return
    shown = console()
    shown.print("\nWorth knowing", style="bold")
    for each in advice:
        about = f"{each['task']}: " if each["task"] else ""
        text = f"- {about}{each['what']}: {each['why']}. What to do: {each['do']}."
        shown.print(text, markup=False, soft_wrap=True)
        for example in each["examples"]:
            shown.print(f"    {example}", markup=False, soft_wrap=True)
    shown.print()


def _print_own_splits(own: dict[str, Any]) -> None:
    found = ", ".join(f"{name} {count:,}" for name, count in own["found"].items())
    if not found:
        return
    if own["used"]:
        text = f"The sources' own splits are used: {found}; --new-splits splits anew."
    else:
        text = f"The sources name splits of their own ({found}); all was split anew."
    console().print(text, markup=False)
    for reason, count in own["on_two_sides"].items():
        console().print(f"  {reason}, by text, group or duplicate: {count:,}", markup=False)


def _lacking(task: str, key: str, count: int) -> str:
    text = (
        f"{number_of(count, f'{task} record has', f'{task} records have')} no `{key}`: the model learns to "
        "leave it empty"
    )
    return f"{text}; --derive-errors takes it from the edits." if key == "errors" else f"{text}."


def _reasons(report: dict[str, Any]) -> dict[str, int]:
    from collections import Counter

    reasons: Counter[str] = Counter()
    for task in report["tasks"].values():
        reasons.update(task["dropped"])
    return dict(reasons.most_common(10))
