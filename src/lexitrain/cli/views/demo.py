"""How `lexitrain demo` ends: the scores before and after, where everything lies, what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console
from lexitrain.cli.views.evaluation import number, value_and_interval
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from lexitrain import BuildResult, EvaluationReport, Score


def print_scores(before_report: EvaluationReport, after_report: EvaluationReport) -> None:
    """The scores of the base beside those of the trained adapter."""
    from rich.table import Table

    before, after = before_report.evaluation, after_report.evaluation
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "score"):
        table.add_column(heading, no_wrap=True)
    for heading in ("trivial", "before", "after", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in after.tasks.values():
        first = before.tasks[task.task]
        n = str(task.validity.n)
        table.add_row(task.task, "schema validity", "", *_values(first.validity, task.validity), n)
        for name, score in task.scores.items():
            trivial = task.trivial.get(name)
            table.add_row(
                "",
                name.replace("_", " "),
                number(None if trivial is None else trivial.value),
                *_values(first.scores[name], score),
                str(score.n) if score.n != task.validity.n else "",
            )
    out = console()
    out.print()
    out.print(table)
    out.print(
        f"\nSchema validity over all tasks: {number(before.validity)} before, {number(after.validity)} after. Scored "
        f"on {number_of(after.n, 'record')} that training never saw, before on {before.n:,} of them. –: not "
        "defined. Trivial: most frequent level, mean score, unchanged sentence, most frequent reply."
    )


def _values(before: Score, after: Score) -> tuple[str, str, str]:
    value, interval = value_and_interval(after)
    return number(before.value), f"[bold]{value}[/]", interval


def print_file_locations(result: BuildResult, seconds: float) -> None:
    """Where everything lies, and what to try next."""
    out = console()
    folder, run = result.folder, result.folder / "run"
    steps = result.made["train"]["steps"]
    out.print(
        f"\nIn {seconds:.0f} s, {number_of(steps, 'step')}. Everything lies in {folder}:",
        markup=False,
    )
    for place, what in (
        (folder / "records.jsonl", "the generated records"),
        (folder / "data", "train, validation and test files, and a report on how they were made"),
        (run, "recipe, metrics, events, checkpoints"),
        (run / "adapter", "the adapter, in PEFT form with tokenizer and model card"),
        (run / "evaluation", "scores and every answer, before and after"),
        (folder / "comparison", "the adapter held against the base"),
        (
            run / "export",
            "the file for phones, a grammar of each task's answers, what was verified",
        ),
    ):
        out.print(f"  {place}  {what}", markup=False, soft_wrap=True)
    out.print("\nTry it:")
    for line in (
        f'lexitrain predict {run} --task grammar "She go to school every day."',
        f"lexitrain serve {run}",
    ):
        out.print(f"  {line}", markup=False, soft_wrap=True)
