"""What happened and when: from events.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lexitrain.reporting.run_page.blocks import Block, Cell, Figures, Section, Sentence, Table
from lexitrain.reporting.run_page.charts import Charts, Line, line_chart
from lexitrain.reporting.run_page.plain_values import flat, number, said_time, text

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent
    from lexitrain.runs import Event

_MOST_ROWS = 150
_HEAD = 30  # of them from the beginning, where there are more
_MOST_DETAILS = 14
_TROUBLE = {
    *("rung", "out_of_memory", "nan", "validation_nan", "spike"),
    *("broken", "worker", "signal", "stopped"),
}
_GOOD = {"finished"}


def timeline_section(content: RunContent, charts: Charts) -> Section:
    """Every event, and how the run went on in time."""
    blocks: list[Block] = []
    for part in content.trained_parts:
        blocks += _one_run(part, charts, f"{part.name}: " if content.parts else "")
    return Section("Timeline", "timeline", blocks)


def _one_run(content: RunContent, charts: Charts, of: str) -> list[Block]:
    events = content.events
    if not events:
        return [Sentence(f"{of}No events were written.", "lacking")]
    counts = Counter(text(each.event, 40) for each in events).most_common(20)
    told = ", ".join(f"{count} × {name}" for name, count in counts)
    blocks: list[Block] = [Sentence(f"{of}{told}.")]
    moments = _moments(events)
    if len(set(moments)) > 1:
        hours = moments[-1][0]
        unit, scale = ("hours", 1.0) if hours >= 1 else ("minutes", 60.0)
        blocks.append(
            Figures(
                [
                    line_chart(
                        charts,
                        f"{of}Progress",
                        f"Steps done at each event; the last one {said_time(3600 * hours)} after the first.",
                        [Line("steps", [(x * scale, y) for x, y in moments], "one")],
                        x=f"{unit} since the first event",
                        y="step",
                        from_zero=True,
                    )
                ]
            )
        )
    blocks.append(_table(events, of))
    return blocks


def _when(event: Event) -> datetime | None:
    try:
        found = datetime.fromisoformat(event.time)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _moments(events: Sequence[Event]) -> list[tuple[float, float]]:
    """(hours since the first event, step) of each, by time."""
    known = [
        (when, step)
        for each in events
        if (when := _when(each)) is not None and (step := number(each.step)) is not None
    ]
    if not known:
        return []
    begin = min(when for when, _ in known)
    return sorted(((when - begin).total_seconds() / 3600, step) for when, step in known)


def _table(events: Sequence[Event], of: str) -> Table:
    shown = list(events)
    left = len(shown) - _MOST_ROWS
    if left > 0:
        shown = [*shown[:_HEAD], *shown[_HEAD - _MOST_ROWS :]]
    rows: list[list[str | Cell]] = []
    for place, event in enumerate(shown):
        if left > 0 and place == _HEAD:
            rows.append([f"… {left:,} more …", "", "", ""])
        when = _when(event)
        name = text(event.event, 40)
        tone = "bad" if name in _TROUBLE else "good" if name in _GOOD else ""
        rows.append(
            [
                text(event.time, 40) if when is None else f"{when:%Y-%m-%d %H:%M:%S}",
                said_step(event.step),
                Cell(name, tone),
                _details(event),
            ]
        )
    head = ["time (UTC)", "step", "event", "what"]
    return Table(f"{of}Events", head, rows, frozenset({1}), frozenset({3}), folded=len(rows) > 40)


def said_step(step: object) -> str:
    """A step as it is shown."""
    found = number(step)
    return "–" if found is None else f"{found:,.0f}"


def _details(event: Event) -> str:
    told = [
        f"{name.replace('_', ' ').replace('.', ' ')} {value}"
        for name, value in flat(dict(event.details), _MOST_DETAILS)
        if value
    ]
    return text("; ".join(told))
