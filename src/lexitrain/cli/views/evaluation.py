"""How an evaluation looks: a line a score, the model's value with its interval beside the trivial predictor's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lexitrain import ConversationEvaluation, EvaluationReport, HeldOut, Score, TaskEvaluation

_MOST_REASONS = 5
_EXAMPLE = 100  # characters of an invalid answer that are shown


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
        table.add_row(task.task, "JSON validity", *value_and_interval(task.validity), "", "", "", n)
        for score_name in task.scores:
            _add_score(table, task, score_name)
    for talks in evaluation.conversations.values():
        _add_conversations(table, talks)
    out.print(f"[bold]{_plain(name)}[/] on {_plain(str(data.file))}, {evaluation.n:,} records\n")
    out.print(table)
    validity = number(evaluation.validity)
    out.print(
        f"\nJSON validity over all tasks: {validity}. An invalid answer counts as wrong. – is not defined. n: records "
        "that the score is about. "
        "Green: the whole interval is better than the trivial predictor (most frequent level, mean score, unchanged "
        f"sentence, most frequent reply), which learnt from {_plain(_train_source(data))}."
    )
    if evaluation.conversations:
        out.print(
            "Conversations: loss in nats a supervised token over every supervised turn; chrF and exact match over the "
            "turns that are free text."
        )
    for task in evaluation.tasks.values():
        _print_invalid(out, task)
    for reason, count in evaluation.unscored.items():
        out.print(f"Not scored: {count:,} ({_plain(reason)})", soft_wrap=True)


def _add_score(table: Table, task: TaskEvaluation, name: str) -> None:
    score, trivial = task.scores[name], task.trivial.get(name)
    side, bound = task.targets.get(name, ("", None))
    met = {None: "", True: "[green]yes[/]", False: "no"}[task.met(name)]
    value, interval = value_and_interval(score)
    table.add_row(
        "",
        name.replace("_", " "),
        f"[bold green]{value}[/]" if task.beats_trivial(name) else value,
        interval,
        number(None if trivial is None else trivial.value),
        "" if bound is None else f"{side} {bound:.2f}",
        met,
        f"{score.n:,}" if score.n != task.validity.n else "",
    )


def _add_conversations(table: Table, talks: ConversationEvaluation) -> None:
    heading = f"{talks.task}, conversations"
    for name, score in talks.scores.items():
        value, interval = value_and_interval(score)
        trivial = talks.trivial.get(name)
        table.add_row(
            heading,
            name.replace("_", " "),
            f"[bold green]{value}[/]" if talks.beats_trivial(name) else value,
            interval,
            number(None if trivial is None else trivial.value),
            "",
            "",
            f"{score.n:,}",
        )
        heading = ""


def _print_invalid(out: Console, task: TaskEvaluation) -> None:
    """The reasons of invalid answers, the most frequent first, each with an example."""
    groups = task.invalid
    for group in groups[:_MOST_REASONS]:
        text = " ".join(group.example.text.split())
        shown = text if len(text) <= _EXAMPLE else text[:_EXAMPLE] + "…"
        out.print(
            f"Invalid in {task.task}: {group.count:,} × {group.reason}; e.g. row {group.example.row}: {shown}",
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
    if left := sum(group.count for group in groups[_MOST_REASONS:]):
        out.print(f"Invalid in {task.task}: {left:,} for other reasons", markup=False)


def _train_source(data: HeldOut) -> str:
    from lexitrain import TRAIN, file_name

    if data.train_file == data.file:
        return f"{data.file} itself, as there is no {file_name(TRAIN)} beside it"
    return str(data.train_file)


def number(value: float | None) -> str:
    """A score's value; a dash where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def value_and_interval(score: Score) -> tuple[str, str]:
    """A score's value and its interval."""
    known = score.low is not None and score.high is not None
    return number(score.value), f"{score.low:.3f} – {score.high:.3f}" if known else "–"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
