"""How the plan and the report of an A/B test look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.errors import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from lexitrain import AbPlan, AbReport

_TONES = {"better": "green", "no worse": "green", "not enough yet": "yellow"}


def print_ab_plan(out: Console, plan: AbPlan, assumed: Sequence[str]) -> None:
    """Print what a test takes, and what would be possible where it is hopeless."""
    question, traffic = plan.question, plan.traffic
    out.print(
        f"{question.metric} from {question.baseline:g} by {question.effect:+.4g}: found with a chance of "
        f"{question.power:.0%}, called where there is none with one of {question.alpha:.1%}\n",
        markup=False,
        soft_wrap=True,
    )
    table = _table("", "learners at most", "days", "typically ends at")
    table.add_row("read once, at its end", f"{plan.fixed.learners:,}", f"{plan.fixed.days:,}", "–")
    size = plan.sequential
    typical = f"{size.typical_learners:,}"
    table.add_row("read at any time", f"{size.learners:,}", f"{size.days:,}", typical)
    out.print(table)
    lines = [
        f"Reading at any time costs {plan.cost:.2f} times the learners at most.",
    ]
    if traffic.visits > 1:
        lines.append(
            f"Learners who come back: {traffic.values:.2g} values each, which count as "
            f"{traffic.values / traffic.design_effect:.2g} (design effect {traffic.design_effect:.2f})."
        )
    lines += [f"Assumed: {each}." for each in assumed]
    if plan.hopeless:
        lines.append(
            f"Hopeless: {number_of(plan.within, 'learner comes', 'learners come')} in time "
            f"({number_of(plan.most_days, 'day')} at most), and "
            f"{plan.chosen.learners:,} are needed. {possible_instead(plan)}"
        )
    else:
        weeks = f"{number_of(plan.weeks, 'whole week')}"
        lines.append(f"Run it for {weeks}: the days of a week differ.")
    out.print()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def possible_instead(plan: AbPlan) -> str:
    """What can be found in time."""
    if plan.possible is None:
        return "No effect can be found with so few."
    return f"With as many the smallest effect found is {plan.possible:+.3g}."


def print_ab_report(out: Console, report: AbReport) -> None:
    """Print the verdict, the metrics, the guardrails and what to know besides."""
    from rich.markup import escape

    verdict = report.verdict
    tone = _TONES.get(verdict.kind, "red")
    out.print(f"[bold {tone}]{escape(verdict.headline)}[/]", soft_wrap=True)
    for reason in verdict.reasons:
        out.print(reason, markup=False, soft_wrap=True)
    first, other = report.experiment.arms
    ratio = report.sample_ratio
    out.print(
        f"\n{number_of(report.exposures, 'request')} in {report.days:.1f} days; learners: {ratio.learners[0]:,} "
        f"of {first}, "
        f"{ratio.learners[1]:,} of {other}\n",
        markup=False,
        soft_wrap=True,
    )
    table = _table(
        "", escape(first), escape(other), "difference", "any number of looks", "one look"
    )
    for each in report.metrics:
        table.add_row(*each.row())
    for each in report.tasks.tasks:
        table.add_row(*each.row(report.metrics[0].metric))
    out.print(table)
    out.print()
    for guard in report.guardrails:
        out.print(f"{guard.reason or guard.title}: {guard.state}", markup=False, soft_wrap=True)
    for caution in report.cautions:
        out.print(f"Note: {caution}", markup=False, soft_wrap=True)


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    return table
