"""What was predicted beside what was measured, and what the plan says of hours, memory and levers: from plan.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexitrain.reporting.run_page.blocks import (
    Block,
    Figure,
    Figures,
    Section,
    Sentence,
    Table,
)
from lexitrain.reporting.run_page.charts import Charts, bar_chart, waterfall
from lexitrain.reporting.run_page.plain_values import (
    mapping,
    number,
    said_number,
    said_time,
    sequence,
    text,
)

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent

_MEMORY = (
    *("weights", "adapter", "gradients", "optimizer", "activations", "logits", "workspace"),
    "graphs",  # of plans whose cuts are recorded
)
_MOST = 20


def foresight_section(content: RunContent, charts: Charts) -> Section:
    """Predicted and measured, the plan's parts, and the levers."""
    blocks: list[Block] = []
    for part in content.trained_parts:
        of = f"{part.name}: " if content.parts else ""
        blocks += _one_run(part, charts, of)
    return Section("Predicted and measured", "foresight", blocks)


def _one_run(content: RunContent, charts: Charts, of: str) -> list[Block]:
    plan = content.plan
    if not plan:
        return [
            Sentence(
                f"{of}There is no plan.json that can be read: nothing was predicted.", "lacking"
            )
        ]
    if "not_foreseen" in plan:
        return [Sentence(f"{of}Not planned: {text(plan['not_foreseen'])}", "lacking")]
    blocks: list[Block] = [_beside(content, of), Sentence(_basis(plan))]
    figures = _parts(plan, charts, of)
    levers = _levers(plan, charts, of)
    if isinstance(levers, Figure):
        figures.append(levers)
    if figures:
        blocks.append(Figures(figures))
    if isinstance(levers, Sentence):
        blocks.append(levers)
    return blocks


def _beside(content: RunContent, of: str) -> Table:
    plan, foresight = content.plan, mapping(content.finished.get("foresight"))
    hours = mapping(plan.get("hours"))
    measured = {
        name: number(mapping(foresight.get(name)).get("measured"))
        for name in ("hours", "step_seconds", "peak_gb")
    }
    training = number(mapping(plan.get("hours_by_part")).get("training"))
    memory = mapping(plan.get("memory_gb"))
    peak = number(memory.get("peak"))
    if peak is not None:  # what is measured is in use; of a pool nothing is, between two replays
        peak -= number(memory.get("graphs")) or 0.0
    ended = bool(content.finished)
    rows = [
        _row(
            "training steps, all together",
            number(mapping(foresight.get("hours")).get("predicted")) or training,
            measured["hours"],
            3600,
        ),
        _row("a step", number(plan.get("step_seconds")), measured["step_seconds"], 1),
        [
            "the whole run, from start to end",
            _range(hours),
            said_time(content.wall_seconds),
            _ratio(_seconds(hours.get("expected")), content.wall_seconds if ended else None),
        ],
        _memory_row(peak, measured["peak_gb"]),
    ]
    when = "" if ended else " (not finished: what was measured so far)"
    return Table(
        f"{of}Predicted and measured{when}",
        ["", "predicted", "measured", "measured / predicted"],
        rows,
        frozenset({1, 2, 3}),
    )


def _row(name: str, predicted: float | None, measured: float | None, seconds: int) -> list[str]:
    """A row of times, given in units of so many seconds."""
    told = [None if each is None else each * seconds for each in (predicted, measured)]
    return [name, said_time(told[0]), said_time(told[1]), _ratio(*told)]


def _memory_row(predicted: float | None, measured: float | None) -> list[str]:
    said = [said_number(each, "{:.2f} GB") for each in (predicted, measured)]
    return ["peak memory of the device", *said, _ratio(predicted, measured)]


def _seconds(hours: object) -> float | None:
    found = number(hours)
    return None if found is None else 3600 * found


def _ratio(predicted: float | None, measured: float | None) -> str:
    return "–" if not predicted or measured is None else f"{measured / predicted:.2f}"


def _range(hours: dict[str, Any]) -> str:
    low, expected, high = (number(hours.get(each)) for each in ("low", "expected", "high"))
    if expected is None:
        return "–"
    band = (
        ""
        if low is None or high is None
        else f" ({said_time(3600 * low)} – {said_time(3600 * high)})"
    )
    return f"{said_time(3600 * expected)}{band}"


def _basis(plan: dict[str, Any]) -> str:
    memory = mapping(plan.get("memory_gb"))
    limit = number(memory.get("limit"))
    source = text(plan.get("memory_limit_from"))
    of_limit = (
        "" if limit is None else f" The limit is {limit:.2f} GB{f' ({source})' if source else ''}."
    )
    fits = {True: " It fits.", False: " It does not fit."}.get(plan.get("fits") is True, "")
    if not isinstance(plan.get("fits"), bool):
        fits = ""
    return (
        f"Planned for {text(plan.get('gpu')) or 'an unknown device'} in "
        f"{text(plan.get('precision')) or 'an unknown precision'}; speeds are from "
        f"{text(plan.get('basis')) or 'an unknown source'}.{of_limit}{fits} Memory is compared on a GPU only: "
        "a CPU's process holds libraries, data and freed memory besides."
    )


def _parts(plan: dict[str, Any], charts: Charts, of: str) -> list[Figure]:
    """Where the hours, a step's time and the memory are predicted to go."""
    wanted = (
        ("Hours by part", "hours_by_part", "minutes", 60.0, "{:.1f} min", ()),
        ("A step by kind of work", "step_seconds_by_kind", "ms", 1000.0, "{:.1f} ms", ()),
        ("Memory by part", "memory_gb", "MB", 1000.0, "{:,.1f} MB", _MEMORY),
    )
    figures: list[Figure] = []
    for title, key, unit, scale, form, names in wanted:
        found = mapping(plan.get(key))
        known = [
            (text(name, 40), value * scale)
            for name, raw in found.items()
            if (value := number(raw)) is not None and (not names or name in names)
        ]
        rows = sorted(known, key=lambda each: -each[1])[:_MOST]
        if any(value for _, value in rows):
            said = "; ".join(f"{name} {form.format(value)}" for name, value in rows)
            figures.append(
                bar_chart(
                    charts, f"{of}{title}, predicted", f"{said}.",
                    [(name, [value]) for name, value in rows], x=unit,
                )
            )  # fmt: skip
    return figures


def _levers(plan: dict[str, Any], charts: Charts, of: str) -> Figure | Sentence:
    """The waterfall where the plan holds a comparison, else why there is none."""
    levers = [
        (text(each.get("lever"), 40), hours)
        for each in map(mapping, sequence(plan.get("levers")))
        if (hours := number(each.get("hours"))) is not None
    ][:_MOST]
    ends = [
        number(mapping(mapping(plan.get(each)).get("hours")).get("expected")) for each in ("a", "b")
    ]
    if not levers or ends[0] is None or ends[1] is None:
        recipe = text(plan.get("recipe"), 60) or "RECIPE"
        return Sentence(
            f"{of}No waterfall of levers: a run's plan is of one recipe, and levers need a second one to start from. "
            f"`lexitrain plan --recipe {recipe} --versus notebook --plot levers.png` draws it.",
            "lacking",
        )
    said = "; ".join(f"{name} {hours:+.3f} h" for name, hours in levers)
    return waterfall(
        charts,
        f"{of}Each lever's own share of the hours",
        f"From {ends[0]:.3g} h to {ends[1]:.3g} h; what each saves: {said}.",
        levers,
        (ends[0], ends[1]),
        x="hours",
    )
