"""How an evaluation looks: a line a score, the model's value with its interval beside the trivial predictor's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from lexitrain import EvaluationReport, HeldOut, Score


def print_evaluation(out: Console, name: str, report: EvaluationReport) -> None:
    """Print the table and what one has to know to read it."""
    data, evaluation = report.data, report.evaluation
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "score"):
        table.add_column(heading, no_wrap=True)
    for heading in ("model", "95 % interval", "trivial", "target", "met", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in evaluation.tasks.values():
        n = f"{task.validity.n:,}"
        table.add_row(
            task.task, "JSON validity", *_value(task.validity), "", "", "", n, end_section=False
        )
        for score_name, score in task.scores.items():
            trivial = task.trivial.get(score_name)
            side, bound = task.targets.get(score_name, ("", None))
            met = {None: "", True: "[green]yes[/]", False: "no"}[task.met(score_name)]
            value, interval = _value(score)
            table.add_row(
                "",
                score_name.replace("_", " "),
                f"[bold green]{value}[/]" if task.beats_trivial(score_name) else value,
                interval,
                "–" if trivial is None else f"{trivial.value:.3f}",
                "" if bound is None else f"{side} {bound:.2f}",
                met,
                "",
            )
    out.print(f"[bold]{_plain(name)}[/] on {_plain(str(data.file))}, {evaluation.n:,} records\n")
    out.print(table)
    out.print(
        f"\nJSON validity over all tasks: {evaluation.validity:.3f}. An invalid answer counts as wrong. "
        "Green: the whole interval is better than the trivial predictor (most frequent level, mean score, unchanged "
        f"sentence, most frequent reply), which learnt from {_plain(_train_source(data))}."
    )
    for reason, count in evaluation.unscored.items():
        out.print(f"Not scored: {count:,} ({_plain(reason)})")


def _train_source(data: HeldOut) -> str:
    from lexitrain import TRAIN, file_name

    if data.train_file == data.file:
        return f"{data.file} itself, as there is no {file_name(TRAIN)} beside it"
    return str(data.train_file)


def _value(score: Score) -> tuple[str, str]:
    return f"{score.value:.3f}", f"{score.low:.3f} – {score.high:.3f}"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
