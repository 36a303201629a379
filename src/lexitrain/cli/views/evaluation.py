"""How an evaluation looks: a line a score, the model's value with its interval beside the trivial predictor's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import one_line
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lexitrain import ConversationEvaluation, EvaluationReport, HeldOut, Score, TaskEvaluation

_MOST_REASONS = 5
_EXAMPLE = 100  # characters of an invalid answer that are shown


def print_evaluation(out: Console, name: str, report: EvaluationReport) -> None:
    """Print the table, what one has to know to read it, and a sentence of verdict a task."""
    data, evaluation = report.data, report.evaluation
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "score"):
        table.add_column(heading, no_wrap=True)
    for heading in ("model", "95 % interval", "trivial", "target", "met", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in evaluation.tasks.values():
        _add_task(table, task)
    for talks in evaluation.conversations.values():
        _add_conversations(table, talks)
    out.print(
        f"[bold]{_plain(name)}[/] on {_plain(str(data.file))}, {number_of(evaluation.n, 'record')}\n"
    )
    out.print(table)
    out.print()
    for task in evaluation.tasks.values():
        untrained = " It was not trained for this task." if task.trained is False else ""
        out.print(f"{_plain(task.verdict)}{untrained}", soft_wrap=True)
    _print_legend(out, report)
    for task in evaluation.tasks.values():
        _print_details(out, task)
        _print_invalid(out, task)
    for reason, count in evaluation.unscored.items():
        out.print(f"Not scored: {count:,} ({_plain(reason)})", soft_wrap=True)


def _print_legend(out: Console, report: EvaluationReport) -> None:
    data, evaluation = report.data, report.evaluation
    out.print(
        f"\nSchema validity over all tasks: {number(evaluation.validity)}. An invalid answer counts as wrong. – is not "
        "defined. n: records that the score is about. Green: better than the trivial predictor (most frequent level, "
        "mean score, unchanged sentence, most frequent reply) by the whole interval of the difference; it learnt from "
        f"{_plain(_train_source(data))}. Met: the whole interval reaches the target; targets are {_targets(report)}."
    )
    if keys := evaluation.grouping.keys:
        groups = len(set(evaluation.grouping.of_row.values()))
        out.print(
            f"Intervals take records together that share metadata.{_plain(', metadata.'.join(keys))}: {groups:,} "
            "independent groups."
        )
    if label := report.decoding.label:
        out.print(f"Answers are decoded otherwise than by default: {label}.")
    if evaluation.reused:
        out.print(
            f"{number_of(evaluation.reused, 'answer is', 'answers are')} of an interrupted evaluation."
        )
    if evaluation.conversations:
        out.print(
            "Conversations: loss in nats a supervised token over every supervised turn; chrF and exact match over the "
            "turns that are free text."
        )


def _targets(report: EvaluationReport) -> str:
    own = ", ".join(report.model.targets)
    return f"LexiLingo's, and the recipe's for {_plain(own)}" if own else "LexiLingo's"


def _add_task(table: Table, task: TaskEvaluation) -> None:
    n = task.validity.n
    heading = task.task
    rows = {
        "JSON validity": task.json_validity,
        "schema validity": task.validity,
        **({} if task.loss is None else {"loss": task.loss}),
    }
    for label, score in rows.items():
        table.add_row(heading, label, *value_and_interval(score), "", "", "", _count(score, n))
        heading = ""
    for name in task.scores:
        _add_score(table, task, name)


def _count(score: Score, n: int, *, always: bool = True) -> str:
    return f"{score.n:,}" if always or score.n != n else ""


def _add_score(table: Table, task: TaskEvaluation, name: str) -> None:
    score, trivial = task.scores[name], task.trivial.get(name)
    side, bound = task.targets.get(name, ("", None))
    met = {None: "", "met": "[green]yes[/]", "missed": "no", "not shown": "not shown"}
    value, interval = value_and_interval(score)
    table.add_row(
        "",
        name.replace("_", " "),
        f"[bold green]{value}[/]" if task.beats_trivial(name) else value,
        interval,
        number(None if trivial is None else trivial.value),
        "" if bound is None else f"{side} {bound:.2f}",
        met[task.target_verdict(name)],
        _count(score, task.validity.n, always=False),
    )


def _print_details(out: Console, task: TaskEvaluation) -> None:
    """The tables of parts, a line each, and the confusion matrix."""
    for table, parts in task.details.items():
        told = ", ".join(
            f"{part.replace('_', ' ')} {number(score.value)} ({score.n:,})"
            for part, score in parts.items()
        )
        out.print(f"{task.task}, {table}: {told}", markup=False, soft_wrap=True)
    confusion = task.confusion
    if confusion is not None:
        out.print(f"{task.task}, true level → answered {' '.join(confusion.predicted)}:")
        for label, counts in zip(confusion.actual, confusion.counts, strict=True):
            if any(counts):
                out.print(f"  {label} → {' '.join(map(str, counts))}", markup=False)


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
        shown = one_line(group.example.text, _EXAMPLE)
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
