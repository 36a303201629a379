"""Losses with the best step, per-task losses, learning rate, speed, waiting, memory: from metrics.jsonl."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lexitrain.reporting.run_page.blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Section,
    Sentence,
    Table,
)
from lexitrain.reporting.run_page.charts import COLOURS, Charts, Line, Marker, line_chart
from lexitrain.reporting.run_page.plain_values import number, said_number, text
from lexitrain.training import judged

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent
    from lexitrain.runs import Metrics

Point = tuple[float, float]

_MOST_TASKS = 12
_MOST_ROWS = 60
_WHOLE_PARTS = 8
"""Runs of one task of which all charts are shown; of further ones the losses."""


def training_section(content: RunContent, charts: Charts) -> Section:
    """How training went; of a folder with one run a task, of each."""
    blocks: list[Block] = []
    for place, part in enumerate(content.trained_parts):
        of = f"{part.name}: " if content.parts else ""
        blocks += _one_run(part, charts, of, whole=place < _WHOLE_PARTS)
    return Section("Training", "training", blocks)


def verdict(content: RunContent) -> str:
    """What the validation losses say, by the rules of training."""
    if not content.validations:
        return "The validation loss was not measured yet, so nothing is said of overfitting."
    return judged(content.validations).said


def series(content: RunContent, value: Callable[[Metrics], float | None]) -> list[Point]:
    """A number of the metrics by step; what is not a number is left out."""
    found: list[Point] = []
    for line in content.metrics:
        step, here = number(line.step), number(value(line))
        if step is not None and here is not None:
            found.append((step, here))
    return sorted(found)


def _one_run(content: RunContent, charts: Charts, of: str, *, whole: bool) -> list[Block]:
    if not content.metrics:
        return [Sentence(f"{of}There are no metrics: no step was logged.", "lacking")]
    blocks: list[Block] = [Sentence(f"{of}{verdict(content)}")]
    unknown = sum(number(line.loss) is None for line in content.metrics)
    if unknown:
        blocks.append(
            Sentence(f"{of}{unknown} logged losses are not numbers, and not drawn.", "wrong")
        )
    figures = [*_losses(content, charts, of), *_task_losses(content, charts, of)]
    if whole:
        figures += _course(content, charts, of)
    blocks.append(Figures(figures))
    blocks += _validations(content, of)
    return blocks


def _losses(content: RunContent, charts: Charts, of: str) -> list[Figure]:
    training = series(content, lambda line: line.loss)
    measured = sorted((float(step), loss) for step, loss in content.validations)
    before = content.first_loss
    drawn = measured if before is None else [(0.0, before), *measured]
    lines = [Line("training", training, "one", thin=True)] if training else []
    if drawn:
        lines.append(Line("validation", drawn, "two", dots=len(drawn) < 80))
    if not lines:
        return []
    said = []
    if training:
        said.append(
            f"Training loss {training[0][1]:.3f} at step {training[0][0]:,.0f}, {training[-1][1]:.3f} at step "
            f"{training[-1][0]:,.0f}."
        )
    best = content.best
    if best is not None:
        start = "" if before is None else f"{before:.3f} before training, "
        said.append(f"Validation loss {start}best {best[1]:.4f} at step {best[0]:,}.")
    else:
        said.append("No validation was measured.")
    return [
        line_chart(
            charts,
            f"{of}Loss",
            " ".join(said),
            lines,
            y="nats a token",
            marker=None if best is None else Marker(best, f"best: {best[1]:.3f}"),
            may_be_log=True,
        )
    ]


def _task_losses(content: RunContent, charts: Charts, of: str) -> list[Figure]:
    found: dict[str, list[Point]] = {}
    for line in content.metrics:
        step = number(line.step)
        for task, loss in (line.validation_losses or {}).items():
            value = number(loss)
            if step is not None and value is not None:
                found.setdefault(text(task, 40), []).append((step, value))
    if len(found) < 2:
        return []
    shown = sorted(found.items(), key=lambda each: each[1][-1][1], reverse=True)[:_MOST_TASKS]
    last = ", ".join(f"{task} {points[-1][1]:.3f}" for task, points in shown)
    return [
        line_chart(
            charts,
            f"{of}Validation loss by task",
            f"The last of each, the highest first: {last}.",
            [
                Line(task, sorted(points), COLOURS[place % len(COLOURS)])
                for place, (task, points) in enumerate(shown)
            ],
            y="nats a token",
            may_be_log=True,
        )
    ]


def _course(content: RunContent, charts: Charts, of: str) -> list[Figure]:
    """Learning rate, speed, waiting, memory and gradient norm."""
    wanted: list[tuple[str, str, str, Callable[[Metrics], float | None], str]] = [
        ("Learning rate", "", "{:.3g}", lambda line: line.learning_rate, "one"),
        ("Samples a second", "samples/s", "{:,.1f}", lambda line: line.samples_per_second, "three"),
        ("Tokens a second", "tokens/s", "{:,.0f}", lambda line: line.tokens_per_second, "three"),
        ("Waiting for data", "% of the time", "{:.2f} %", _waiting, "two"),
        ("Peak memory so far", "GB", "{:.2f} GB", lambda line: line.memory_gb, "four"),
        ("Gradient norm before clipping", "", "{:.3g}", lambda line: line.grad_norm, "five"),
    ]
    figures: list[Figure] = []
    for title, unit, form, value, colour in wanted:
        points = series(content, value)
        if points:
            figures.append(
                line_chart(
                    charts,
                    f"{of}{title}",
                    _course_said(content, title, form, points),
                    [Line(title, points, colour)],
                    y=unit,
                    from_zero=True,
                )
            )
    return figures


def _course_said(content: RunContent, title: str, form: str, points: list[Point]) -> str:
    values = [value for _, value in points]
    mean = sum(values) / len(values)
    said = (
        f"Mean {form.format(mean)}, lowest {form.format(min(values))}, highest "
        f"{form.format(max(values))}."
    )
    if title == "Peak memory so far" and content.environment.get("device") == "cpu":
        said += " On a CPU: of the whole process, libraries and data too."
    return said


def _waiting(line: Metrics) -> float | None:
    """Percent of a line's time in which the device waited for data: its seconds are its tokens over their rate."""
    wait, tokens, rate = (
        number(each)
        for each in (line.data_wait_seconds, line.layout_tokens, line.tokens_per_second)
    )
    if wait is None or not tokens or not rate:
        return None
    return number(100 * wait * rate / tokens)


def _validations(content: RunContent, of: str) -> list[Block]:
    measured = [line for line in content.metrics if number(line.validation_loss) is not None]
    if not measured:
        return [
            Sentence(
                f"{of}No validation loss was measured, so that there is no best step: "
                "the run is still before its first validation, or has no validation records.",
                "lacking",
            )
        ]
    tasks = sorted({task for line in measured for task in line.validation_losses or {}})[
        :_MOST_TASKS
    ]
    best = content.best
    shown = measured if len(measured) <= _MOST_ROWS else measured[-_MOST_ROWS:]
    rows: list[list[str | Cell]] = []
    for line in shown:
        is_best = best is not None and line.step == best[0]
        loss = said_number(number(line.validation_loss), "{:.4f}")
        rows.append(
            [
                f"{line.step:,}",
                said_number(number(line.epoch), "{:.2f}"),
                Cell(f"{loss} best", "good") if is_best else loss,
                *(said_number(number((line.validation_losses or {}).get(task))) for task in tasks),
            ]
        )
    left = len(measured) - len(shown)
    head = ["step", "epoch", "validation loss", *(text(task, 40) for task in tasks)]
    caption = f"{of}Validations, nats a token" + (f" (the last {len(shown)})" if left else "")
    return [Table(caption, head, rows, frozenset(range(1, len(head))), folded=len(rows) > 12)]
