"""The page of an A/B test: its verdict, the difference over time, metrics, tasks, guardrails, assignment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.abtest import amount, interval_text, signed, value_text
from lexitrain.errors import number_of
from lexitrain.reporting.html_page import check_page, write_page
from lexitrain.reporting.run_page.blocks import (
    Block,
    Cell,
    Facts,
    Figures,
    Heading,
    Said,
    Section,
    Sentence,
    Table,
)
from lexitrain.reporting.run_page.charts import INK, Charts, colour

if TYPE_CHECKING:
    from lexitrain.abtest import AbReport, Effect, Metric, MetricEffect, TaskEffect
    from lexitrain.reporting.run_page.blocks import Figure

_DAY = 86400.0
_TONES = {"better": "good", "no worse": "good", "worse": "bad", "broken": "bad", "stop": "bad"}
_STATES = {"broken": "do not trust"}


def write_ab_page(report: AbReport, path: str | Path) -> Path:
    """Write the page of an A/B test: one HTML file without network or script; returns its path.

    Raises:
        InputError: `path` is no HTML file, something else lies there, or it cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    path = check_page(path)
    kind = report.verdict.kind
    charts = Charts()
    sections = [
        Section("What it says", "verdict", _verdict(report)),
        Section("Over time", "time", _over_time(report, charts)),
        Section("Metrics", "metrics", [_metrics(report), *_adjusted(report)]),
        Section("Tasks", "tasks", _tasks(report)),
        Section("Guardrails", "guardrails", [_guardrails(report)]),
        Section("Can it be trusted?", "trust", _trust(report)),
        Section("How to read it", "reading", [Said(_READING)]),
    ]
    values = {
        "title": report.experiment.name,
        "kind": "A/B test",
        "state": _STATES.get(kind, kind),
        "tone": _TONES.get(kind, ""),
        "sections": sections,
    }
    return write_page("ab.html.jinja", path, values)


_READING = (
    "Every learner counts in the arm that was assigned, whatever was shown later, and all of a learner's answers count "
    "as one voice: ten answers of one learner say less than one answer of ten.",
    "The interval for any number of looks may be read whenever one likes, and the test may be ended as soon as it "
    "leaves out zero. The interval for one look is narrower and may be read once, at a moment that was chosen before "
    "the test: whoever reads it again and again until it leaves out zero finds differences where there are none.",
    "The first metric decides. The p values of the others, and of the tasks, are adjusted for how many they are "
    "(Holm), and hold as often as the test was planned to be read.",
    "A test says what these learners did with these two models. It does not say why, nor what other learners would do.",
)


def _verdict(report: AbReport) -> list[Block]:
    verdict, planned = report.verdict, report.experiment.planned
    first, other = report.experiment.arms
    ratio = report.sample_ratio
    facts = [
        (f"learners of {first}", f"{ratio.learners[0]:,}"),
        (f"learners of {other}", f"{ratio.learners[1]:,}"),
        ("requests", f"{report.exposures:,}"),
        ("days", f"{report.days:.1f}"),
        ("planned learners", "–" if planned is None else f"{planned.learners:,}"),
        ("decides", report.metrics[0].metric.name),
        ("read", "once, at its end" if verdict.by == "fixed" else "at any time"),
        ("no worse means", f"by less than {amount(report.metrics[0].metric, report.margin)}"),
    ]
    blocks: list[Block] = [Heading(verdict.headline)]
    if verdict.reasons:
        blocks.append(Said(verdict.reasons))
    blocks.append(Facts(facts))
    if report.cautions:
        blocks.append(Said(report.cautions))
    return blocks


def _over_time(report: AbReport, charts: Charts) -> list[Block]:
    metric = report.metrics[0].metric
    points = [
        ((each.time - report.first) / _DAY, each.effect)
        for each in report.moments
        if each.effect.low is not None
    ]
    if len(points) < 2:
        return [Sentence("Too little was seen for a picture over time.", "lacking")]
    return [Figures([_chart(charts, metric, points, report.experiment.arms)])]


def _chart(
    charts: Charts, metric: Metric, points: Sequence[tuple[float, Effect]], arms: tuple[str, str]
) -> Figure:
    scale = 100.0 if metric.kind == "share" else 1.0
    days = [day for day, _ in points]
    kept = [(day, each) for day, each in points if each.sequence_low is not None]

    def paint(axes: Any) -> None:
        for low, high, own, name, alpha in (
            ("sequence_low", "sequence_high", kept, "one", 0.22),
            ("low", "high", points, "two", 0.35),
        ):
            axes.fill_between(
                [day for day, _ in own],
                [scale * getattr(each, low) for _, each in own],
                [scale * getattr(each, high) for _, each in own],
                color=colour(name),
                alpha=alpha,
                linewidth=0,
            )
        axes.plot(
            days,
            [scale * each.difference for _, each in points if each.difference is not None],
            color=colour("one"),
            linewidth=2,
        )
        axes.axhline(0, color=INK, linewidth=1, linestyle="--")
        axes.set(xlabel="days", ylabel="points" if metric.kind == "share" else metric.unit.strip())
        shown = [
            scale * abs(v)
            for _, e in kept
            for v in (e.sequence_low, e.sequence_high)
            if v is not None
        ]
        shown = shown or [
            scale * abs(v) for _, e in points for v in (e.low, e.high) if v is not None
        ]
        most = 1.1 * sorted(shown)[int(0.9 * (len(shown) - 1))]
        axes.set_ylim(-most, most)
        axes.margins(x=0.02)

    last = points[-1][1]
    assert last.difference is not None
    said = (
        f"{arms[1]} less {arms[0]}, last {signed(metric, last.difference)}; dashed: no difference."
    )
    legend = [("any number of looks", "one"), ("one look", "two")]
    return charts.draw(paint, metric.title, said, height=3.6, legend=legend)


def _metrics(report: AbReport) -> Table:
    rows: list[list[str | Cell]] = []
    for place, each in enumerate(report.metrics):
        metric, effect = each.metric, each.effect
        rows.append(
            [
                f"{metric.title} (decides)" if place == 0 else metric.title,
                *(value_text(metric, arm.value) for arm in effect.arms),
                *_difference(metric, effect, _deciding_p(report, each), report.alpha),
                _p(_deciding_p(report, each)),
            ]
        )
    return _table("Metrics", ["metric"], report, rows)


def _tasks(report: AbReport) -> list[Block]:
    metric = report.metrics[0].metric
    rows: list[list[str | Cell]] = []
    for each in report.tasks.tasks:
        effect = each.effect
        rows.append(
            [
                each.task,
                *(
                    f"{value_text(metric, arm.value)} ({100 * share:.0f} %)"
                    for arm, share in zip(effect.arms, each.shares, strict=True)
                ),
                *_difference(metric, effect, _deciding_p(report, each), report.alpha),
                _p(_deciding_p(report, each)),
            ]
        )
    blocks: list[Block] = [_table(f"{metric.title}, by task", ["task"], report, rows)]
    note = "In brackets: the task's share of what the arm was asked for. Who never chose a task says nothing of it."
    if report.tasks.equal_shares is not None:
        note += f" At equal shares of the tasks the difference is {signed(metric, report.tasks.equal_shares)}."
    return [*blocks, Sentence(note)]


def _table(
    caption: str, head: Sequence[str], report: AbReport, rows: Sequence[Sequence[str | Cell]]
) -> Table:
    arms = report.experiment.arms
    last = ("difference", "any number of looks", "one look", "p")
    return Table(caption, [*head, *arms, *last], rows, numbers=frozenset(range(1, 7)))


def _deciding_p(report: AbReport, each: MetricEffect | TaskEffect) -> float | None:
    """The adjusted p value of the kind of reading that the test was planned for."""
    fixed = report.verdict.by == "fixed"
    return each.adjusted_p if fixed else each.adjusted_always_valid_p


def _difference(metric: Metric, effect: Effect, p: float | None, alpha: float) -> list[str | Cell]:
    """The difference with its two intervals."""
    if effect.difference is None:
        return ["–", effect.lacking or "–", "–"]
    tone = ""
    if p is not None and p < alpha:
        tone = "good" if (effect.difference > 0) == metric.higher_is_better else "bad"
    return [
        Cell(signed(metric, effect.difference), tone),
        interval_text(metric, effect.sequence_low, effect.sequence_high),
        interval_text(metric, effect.low, effect.high),
    ]


def _adjusted(report: AbReport) -> list[Block]:
    adjusted = report.metrics[0].effect.adjusted
    lacking = [each for each in report.metrics if each.effect.lacking]
    blocks: list[Block] = []
    if adjusted is not None:
        blocks.append(
            Sentence(
                f"Values from before the test are known of {100 * adjusted.known:.0f} % of the learners, and make the "
                f"interval of the metric that decides {100 * adjusted.width:.0f} % as wide as it would be without."
            )
        )
    blocks += [
        Sentence(f"{each.metric.title}: {each.effect.lacking}.", "lacking") for each in lacking
    ]
    return blocks


def _guardrails(report: AbReport) -> Table:
    rows: list[list[str | Cell]] = []
    for each in report.guardrails:
        is_rate = each.name != "p95_seconds"
        form = "{:.1%}" if is_rate else "{:.2f} s"
        bound = "{:+.1%}" if is_rate else "{:.2f} times"
        tone = {"harm": "bad", "fine": "good"}.get(each.state, "")
        rows.append(
            [
                each.title,
                *("–" if value is None else form.format(value) for value in each.values),
                " to ".join("?" if v is None else bound.format(v) for v in (each.low, each.high)),
                bound.format(each.limit),
                Cell(each.state, tone),
            ]
        )
    head = ["", *report.experiment.arms, "difference or ratio", "limit", ""]
    return Table("What must not get worse", head, rows, numbers=frozenset({1, 2, 3, 4}))


def _trust(report: AbReport) -> list[Block]:
    ratio = report.sample_ratio
    said = [
        f"Learners: {ratio.learners[0]:,} and {ratio.learners[1]:,}, where {ratio.expected[0]:,.1f} and "
        f"{ratio.expected[1]:,.1f} were meant; p = {_p(ratio.p)} for one look, {_p(ratio.always_valid_p)} for any "
        "number of looks. Below 0.001 nothing of the test can be trusted.",
        f"{number_of(report.crossed, 'learner was', 'learners were')} shown both arms.",
    ]
    if report.pre_imbalance is not None:
        said.append(
            f"Values from before the test are alike in both arms with p = {_p(report.pre_imbalance)}."
        )
    moments = [datetime.fromtimestamp(each, UTC) for each in (report.first, report.last)]
    said.append(f"From {moments[0]:%Y-%m-%d %H:%M} to {moments[1]:%Y-%m-%d %H:%M} UTC.")
    planned = report.experiment.planned
    if planned is None:
        said.append(
            "Nothing was planned: how large a difference the test can find was not asked before."
        )
    else:
        said.append(
            f"Planned: {number_of(planned.learners, 'learner')}, read "
            f"{'once' if planned.kind == 'fixed' else 'at any time'}, to "
            f"find {amount(report.metrics[0].metric, planned.effect)} with a chance of {100 * planned.power:.0f} %."
        )
    return [Said(said)]


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
