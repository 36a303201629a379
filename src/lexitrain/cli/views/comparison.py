"""How a comparison looks: the models' scores side by side, the differences to the first one, what each costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import one_line
from lexitrain.cli.views.evaluation import number, value_and_interval
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lexitrain import ModelComparison, Score

_EXAMPLE = 100  # characters of an answer that are shown
_MOST_REGRESSIONS = 2


def print_comparison(out: Console, comparison: ModelComparison) -> None:
    """Print scores, differences, costs, the worst regressions, and a verdict a model."""
    from rich.markup import escape

    first = comparison.reports[0]
    out.print(
        f"{number_of(first.evaluation.n, 'record')} of {escape(str(first.data.file))}\n",
        soft_wrap=True,
    )
    out.print(_scores(comparison))
    for number_, tasks in enumerate(comparison.pairs, start=1):
        title = f"{comparison.names[number_]} less {comparison.names[0]}"
        out.print(f"\n[bold]{escape(title)}[/]")
        out.print(_differences(comparison, number_))
        for task in tasks:
            if task.left_out:
                out.print(
                    f"{task.task}: {number_of(task.left_out, 'record is', 'records are')} left out, which only one of "
                    "the two has answered."
                )
    out.print()
    out.print(_costs(comparison))
    _print_regressions(out, comparison)
    out.print()
    for number_ in range(1, len(comparison.names)):
        out.print(escape(comparison.verdict(number_)), soft_wrap=True)
    out.print(
        "\nThe first score of a task decides. p: of the exchange test on the same records, adjusted for the number of "
        "comparisons (Holm); better and worse at 5 %. No worse: by the whole 95 % interval of the difference. Records "
        "that are not independent are drawn together."
    )


def _table(*headings: str, left: int = 2) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        if place < left:
            table.add_column(heading, no_wrap=True)
        else:
            table.add_column(heading, justify="right")
    return table


def _scores(comparison: ModelComparison) -> Table:
    table = _table("task", "score", *comparison.names)
    evaluations = [report.evaluation for report in comparison.reports]
    for name in dict.fromkeys(task for each in evaluations for task in each.tasks):
        tasks = [each.tasks.get(name) for each in evaluations]
        known = [task for task in tasks if task is not None]
        rows: dict[str, list[Score | None]] = {
            known[0].primary: [task and task.scores.get(task.primary) for task in tasks],
            "schema validity": [task and task.validity for task in tasks],
            "loss": [task and task.loss for task in tasks],
        }
        heading = name
        for label, scores in rows.items():
            if any(score is not None for score in scores):
                table.add_row(heading, label.replace("_", " "), *map(_shown, scores))
                heading = ""
    for name in dict.fromkeys(task for each in evaluations for task in each.conversations):
        talks = [each.conversations.get(name) for each in evaluations]
        heading = f"{name}, conversations"
        labels = dict.fromkeys(label for talk in talks if talk for label in talk.scores)
        for label in labels:
            scores = [talk.scores.get(label) if talk else None for talk in talks]
            table.add_row(heading, label.replace("_", " "), *map(_shown, scores))
            heading = ""
    return table


def _shown(score: Score | None) -> str:
    if score is None:
        return "–"
    value, interval = value_and_interval(score)
    return f"{value} ({interval})"


def _differences(comparison: ModelComparison, model: int) -> Table:
    table = _table("task", "score", "difference", "95 % interval", "p", "", "no worse")
    for task in comparison.pairs[model - 1]:
        each = task.decisive
        known = each.low is not None and each.high is not None
        color = {"better": "[green]better[/]", "worse": "[red]worse[/]"}.get(task.sign, task.sign)
        table.add_row(
            task.task,
            task.primary.replace("_", " "),
            "–" if each.value is None else f"{each.value:+.3f}",
            f"{each.low:+.3f} – {each.high:+.3f}" if known else "–",
            number(task.adjusted_p),
            color,
            task.no_worse_in_words,
        )
    return table


def _costs(comparison: ModelComparison) -> Table:
    table = _table("", *comparison.names, left=1)
    for label, values in comparison.cost_rows:
        table.add_row(label, *values)
    return table


def _print_regressions(out: Console, comparison: ModelComparison) -> None:
    for number_, tasks in enumerate(comparison.pairs, start=1):
        for task in tasks:
            for each in task.regressions[:_MOST_REGRESSIONS]:
                out.print(
                    f"\n{task.task}, row {each.row}: {each.score} {each.first:.2f} → {each.other:.2f}\n"
                    f"  asked: {_short(each.input)}\n"
                    f"  {comparison.names[0]}: {_short(each.first_text)}\n"
                    f"  {comparison.names[number_]}: {_short(each.other_text)}",
                    markup=False,
                    emoji=False,
                    soft_wrap=True,
                )


def _short(text: str) -> str:
    return one_line(text, _EXAMPLE)
