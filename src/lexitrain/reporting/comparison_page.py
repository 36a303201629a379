"""The page of a comparison: scores, differences, costs and the worst regressions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.reporting.html_page import write_page

if TYPE_CHECKING:
    from lexitrain.comparison import ModelComparison


def write_comparison_page(comparison: ModelComparison, path: str | Path) -> Path:
    """Write the page; returns its path.

    Raises:
        InputError: it cannot be written.
    """
    return write_page(
        "comparison.html.jinja",
        path,
        {
            "names": comparison.names,
            "first": comparison.reports[0],
            "evaluations": [report.evaluation for report in comparison.reports],
            "tasks": _rows(comparison),
            "pairs": [
                {
                    "name": comparison.names[number],
                    "verdict": comparison.verdict(number),
                    "tasks": [_pair(task) for task in tasks],
                }
                for number, tasks in enumerate(comparison.pairs, start=1)
            ],
            "costs": comparison.cost_rows,
            "margin": comparison.margin,
        },
        {"number": _number, "interval": _interval},
    )


def _rows(comparison: ModelComparison) -> list[dict[str, Any]]:
    """A row a task and score, with each model's score."""
    evaluations = [report.evaluation for report in comparison.reports]
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(task for each in evaluations for task in each.tasks):
        tasks = [each.tasks.get(name) for each in evaluations]
        labels = dict.fromkeys(label for task in tasks if task for label in task.scores)
        scores: dict[str, list[Any]] = {
            "JSON validity": [task and task.json_validity for task in tasks],
            "schema validity": [task and task.validity for task in tasks],
            "loss": [task and task.loss for task in tasks],
        }
        scores |= {label: [t and t.scores.get(label) for t in tasks] for label in labels}
        rows.append({"task": name, "scores": scores})
    for name in dict.fromkeys(task for each in evaluations for task in each.conversations):
        talks = [each.conversations.get(name) for each in evaluations]
        labels = dict.fromkeys(label for talk in talks if talk for label in talk.scores)
        scores = {label: [t and t.scores.get(label) for t in talks] for label in labels}
        rows.append({"task": f"{name}, conversations", "scores": scores})
    return rows


def _pair(task: Any) -> dict[str, Any]:
    """A task's differences with the places of its picture: percent of the width."""
    each: Any = task.decisive
    bar = None
    if each.low is not None and each.high is not None:
        reach = max(abs(each.low), abs(each.high), task.margin) * 1.1
        bar = {
            name: 50 + 50 * value / reach
            for name, value in (
                ("low", each.low),
                ("high", each.high),
                ("value", each.value),
                ("worse", -task.margin),
            )
        }
        if task.primary in task.lower_is_better:
            bar["worse"] = 50 + 50 * task.margin / reach
    return {"task": task, "difference": each, "bar": bar}


def _number(value: float | None, form: str = "{:.3f}") -> str:
    return "–" if value is None else form.format(value)


def _interval(score: Any) -> str:
    if score is None or score.low is None or score.high is None:
        return "–"
    return f"{score.low:.3f} – {score.high:.3f}"
