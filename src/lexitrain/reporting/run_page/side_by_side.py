"""`report A B …`: runs side by side: losses in one chart, settings that differ, scores, times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lexitrain.errors import InputError
from lexitrain.recipe import field_text, field_value, is_free_on_resume, recipe_fields
from lexitrain.reporting.html_page import check_page, write_page
from lexitrain.reporting.run_page.blocks import (
    Block,
    Cell,
    Figures,
    Said,
    Section,
    Sentence,
    Table,
)
from lexitrain.reporting.run_page.charts import COLOURS, Charts, Line, line_chart
from lexitrain.reporting.run_page.content import RunContent, SavedEvaluation, read_content
from lexitrain.reporting.run_page.page import STATES, state_of
from lexitrain.reporting.run_page.plain_values import (
    mapping,
    number,
    said_interval,
    said_number,
    said_time,
    text,
)
from lexitrain.reporting.run_page.sections.exported import export_verdict
from lexitrain.reporting.run_page.sections.scores import primary_score
from lexitrain.reporting.run_page.sections.training import series, verdict
from lexitrain.storage import told_apart

_MOST_RUNS = 24
_MOST_TASKS = 40


def write_runs_page(runs: Sequence[str | Path], path: str | Path) -> Path:
    """Write one HTML file that puts runs side by side: losses in one chart, settings that differ, scores, times.

    Nothing is asked or scored anew; `compare` does that, on the same records and with tests.

    Args:
        runs: folders of two runs or more.
        path: of the page.

    Raises:
        RunError: there is no such folder, or nothing of a run in it.
        InputError: fewer than two runs, or too many for a page; `path` is no HTML file, something else lies there, or
            it cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    if not 2 <= len(runs) <= _MOST_RUNS:
        raise InputError(
            f"A page puts 2 to {_MOST_RUNS} runs side by side; {len(runs)} were given.", where="RUN"
        )
    contents = [read_content(run) for run in runs]
    names = [
        text(name, 60) for name in told_apart([str(each.run.path.resolve()) for each in contents])
    ]
    path = check_page(path)
    charts = Charts()
    sections = [
        Section("What it says", "overview", _overview(names, contents)),
        Section("Losses", "losses", _losses(names, contents, charts)),
        Section("Settings that differ", "settings", _settings(names, contents)),
        Section("Scores", "scores", _scores(names, contents)),
        Section("Times and costs", "costs", [_costs(names, contents)]),
    ]
    values = {"title": ", ".join(names), "kind": "Runs", "state": "", "tone": ""}
    return write_page("run.html.jinja", path, {**values, "sections": sections})


def _overview(names: Sequence[str], contents: Sequence[RunContent]) -> list[Block]:
    said: list[str] = []
    for name, content in zip(names, contents, strict=True):
        states = {*(state for state, _ in STATES.values())}
        state = state_of(content)[0]
        parts = " ".join(
            f"{part.name}: {verdict(part)}" if content.parts else verdict(part)
            for part in content.trained_parts
        )
        said.append(f"{name}: {state if state in states else '?'}. {parts}")
    blocks: list[Block] = [Said(said)]
    blocks += [
        Sentence(f"{name}: {file} cannot be used: {reason}", "wrong")
        for name, content in zip(names, contents, strict=True)
        for file, reason in content.problems
    ]
    return blocks


def _losses(names: Sequence[str], contents: Sequence[RunContent], charts: Charts) -> list[Block]:
    wanted: list[tuple[str, Callable[[RunContent], Sequence[tuple[float, float]]]]] = [
        ("Validation loss", lambda content: sorted(content.validations)),
        ("Training loss", lambda content: series(content, lambda line: line.loss)),
    ]
    figures = []
    for title, points in wanted:
        lines = [
            Line(name, found, COLOURS[place % len(COLOURS)], thin=title == "Training loss")
            for place, (name, found) in enumerate(_each_line(names, contents, points))
        ]
        if lines:
            last = "; ".join(
                f"{line.name} lowest {min(y for _, y in line.points):.4f}, last {line.points[-1][1]:.4f}"
                for line in lines
            )
            figures.append(
                line_chart(charts, title, f"{last}.", lines, y="nats a token", may_be_log=True)
            )
    if not figures:
        return [Sentence("None of the runs has logged a loss.", "lacking")]
    note = (
        "Validation losses compare where the runs were validated on the same records in the same tokens: same data, "
        "base and max_length."
    )
    return [Figures(figures), Sentence(note)]


def _each_line(
    names: Sequence[str],
    contents: Sequence[RunContent],
    points: Callable[[RunContent], Sequence[tuple[float, float]]],
) -> list[tuple[str, Sequence[tuple[float, float]]]]:
    """(name, points) of each run that has some; of a folder with one run a task, of each."""
    return [
        (f"{name}, {part.name}" if content.parts else name, found)
        for name, content in zip(names, contents, strict=True)
        for part in content.trained_parts
        if (found := points(part))
    ]


def _settings(names: Sequence[str], contents: Sequence[RunContent]) -> list[Block]:
    recipes = [content.trained_parts[0].recipe for content in contents]
    blocks: list[Block] = [
        Sentence(f"{name} has no recipe that can be read.", "lacking")
        for name, recipe in zip(names, recipes, strict=True)
        if recipe is None
    ]
    blocks += [
        Sentence(
            f"{name} is one run a task: what stands here are the settings of the first.", "lacking"
        )
        for name, content in zip(names, contents, strict=True)
        if content.parts
    ]
    rows: list[list[str | Cell]] = []
    for dotted, info in recipe_fields():
        values = [None if recipe is None else field_value(recipe, dotted) for recipe in recipes]
        known = [repr(value) for value, recipe in zip(values, recipes, strict=True) if recipe]
        if len(set(known)) > 1 and not is_free_on_resume(info):
            told = [
                text(field_text(value), 200) if recipe else "?"
                for value, recipe in zip(values, recipes, strict=True)
            ]
            rows.append([dotted, *told])
    if rows:
        blocks.append(Table("Fields that change what is learnt", ["field", *names], rows))
    else:
        blocks.append(Sentence("The recipes differ in no field that changes what is learnt."))
    hashes = {
        text(content.trained_parts[0].data.get("rendered_sha256"), 80) for content in contents
    }
    if len(hashes) > 1:
        blocks.append(Sentence("Their samples differ: other data, another base, or other prompts."))
    return blocks


def _scores(names: Sequence[str], contents: Sequence[RunContent]) -> list[Block]:
    """The deciding score of each task, of each run's first evaluation of its own."""
    found = [_own(content) for content in contents]
    blocks: list[Block] = [
        Sentence(f"{name} is not evaluated.", "lacking")
        for name, saved in zip(names, found, strict=True)
        if saved is None
    ]
    tasks = dict.fromkeys(
        task for saved in found if saved for task in mapping(saved.content.get("tasks"))
    )
    rows: list[list[str | Cell]] = []
    for task in list(tasks)[:_MOST_TASKS]:
        row: list[str | Cell] = [text(task, 60)]
        for saved in found:
            name, score = primary_score(
                mapping(saved.content.get("tasks")).get(task) if saved else None
            )
            value = number(score.get("value"))
            interval = said_interval(number(score.get("low")), number(score.get("high")))
            told = f"{name.replace('_', ' ')} {said_number(value)} ({interval})" if name else "–"
            row.append(told)
        rows.append(row)
    if rows:
        blocks.append(
            Table("The score that decides each task, 95 % interval", ["task", *names], rows)
        )
    records = {
        (text(mapping(saved.content.get("data")).get("sha256"), 80), number(saved.content.get("n")))
        for saved in found
        if saved
    }
    if len(records) > 1:
        blocks.append(
            Sentence(
                "They were scored on different records, so that their scores do not compare.",
                "wrong",
            )
        )
    if len({text(saved.content.get("decoding")) for saved in found if saved}) > 1:
        blocks.append(
            Sentence("Their answers were chosen in other ways (decoding); scores tell of both.")
        )
    if rows:
        command = "lexitrain compare A B --data DIR"
        blocks.append(
            Sentence(
                "Overlapping intervals do not say that two runs are alike: "
                f"`{command}` takes the difference record by record."
            )
        )
    return blocks


def _own(content: RunContent) -> SavedEvaluation | None:
    return next((each for each in content.evaluations if not each.of_the_base), None)


def _costs(names: Sequence[str], contents: Sequence[RunContent]) -> Table:
    def of_parts(content: RunContent, value: Callable[[RunContent], float | None]) -> list[float]:
        return [each for part in content.trained_parts if (each := value(part)) is not None]

    def row(label: str, told: Callable[[RunContent], str]) -> list[str]:
        return [label, *(told(content) for content in contents)]

    def steps(content: RunContent) -> str:
        totals = [part.steps[1] for part in content.trained_parts]
        all_of_them = "?" if None in totals else f"{sum(each or 0 for each in totals):,}"
        return f"{sum(part.steps[0] for part in content.trained_parts):,} of {all_of_them}"

    def seconds(content: RunContent) -> str:
        return said_time(sum(of_parts(content, lambda part: part.seconds)) or None)

    def memory(content: RunContent) -> str:
        peak = max(of_parts(content, lambda part: part.memory_gb), default=None)
        return said_number(peak, "{:.2f} GB")

    def rate(content: RunContent) -> str:
        means = [_mean(part) for part in content.trained_parts]
        known = [each for each in means if each is not None]
        return said_number(sum(known) / len(known) if known else None, "{:,.1f}")

    def device(content: RunContent) -> str:
        return text(content.trained_parts[0].environment.get("device"), 60) or "–"

    rows = [
        row("state", lambda content: state_of(content)[0]),
        row("steps", steps),
        row("time in training", seconds),
        row("samples a second, mean", rate),
        row("peak memory", memory),
        row("device", device),
        row("export", lambda content: export_verdict(content) or "not exported"),
    ]
    return Table("Times and costs", ["", *names], rows)


def _mean(content: RunContent) -> float | None:
    values = [value for _, value in series(content, lambda line: line.samples_per_second)]
    return sum(values) / len(values) if values else None
