"""`report RUN`: one page of all that a run's folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.reporting.html_page import check_page, write_page
from lexitrain.reporting.run_page.blocks import Facts, Said, Section, Sentence
from lexitrain.reporting.run_page.charts import Charts
from lexitrain.reporting.run_page.content import RunContent, read_content
from lexitrain.reporting.run_page.plain_values import (
    mapping,
    number,
    said_number,
    said_time,
    sequence,
    text,
    whole,
)
from lexitrain.reporting.run_page.sections.data import data_section
from lexitrain.reporting.run_page.sections.exported import export_section, export_verdict
from lexitrain.reporting.run_page.sections.foresight import foresight_section
from lexitrain.reporting.run_page.sections.reproduction import (
    environment_section,
    reproduction_section,
)
from lexitrain.reporting.run_page.sections.scores import in_short, scores_section
from lexitrain.reporting.run_page.sections.timeline import timeline_section
from lexitrain.reporting.run_page.sections.training import training_section, verdict

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.blocks import Block

PAGE = "report.html"

STATES = {
    "finished": ("finished", "good"),
    "running": ("still training", ""),
    "stopped": ("stopped", ""),
    "interrupted": ("interrupted", "bad"),
    "broken": ("cannot be read", "bad"),
}
"""State of a run -> as the page says it, and in which tone."""


def write_run_page(run: str | Path, path: str | Path | None = None) -> Path:
    """Write one HTML file of all that a run's folder holds: losses, speed, scores, answers, export, events.

    It needs no network and no script. What the run lacks, and what in it cannot be read, is said on the page. The same
    folder gives the same bytes. Of many logged steps, records or events some are shown, so that the page stays below
    3 MB.

    Args:
        run: the run's folder, at any moment of its life; also one with a run a task.
        path: of the page; by default `report.html` in the run's folder.

    Raises:
        RunError: there is no such folder, or nothing of a run in it.
        InputError: `path` is no HTML file, something else lies there, or it cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    content = read_content(run)
    path = check_page(content.run.path / PAGE if path is None else path)
    charts = Charts()
    sections = [
        _overview(content),
        training_section(content, charts),
        scores_section(content, charts),
        export_section(content),
        foresight_section(content, charts),
        data_section(content, charts),
        timeline_section(content, charts),
        environment_section(content),
        reproduction_section(content),
    ]
    state, tone = state_of(content)
    values = {"title": content.name, "kind": "Run", "state": state, "tone": tone}
    return write_page("run.html.jinja", path, {**values, "sections": sections})


def state_of(content: RunContent) -> tuple[str, str]:
    """The state of a run as the page says it, and its tone; of a folder with one run a task, that of all."""
    states = [part.summary.state for part in content.trained_parts]
    for state in ("broken", "running", "interrupted", "stopped"):
        if state in states:
            return STATES[state]
    return STATES["finished"]


def _overview(content: RunContent) -> Section:
    said = [
        f"{part.name}: {verdict(part)}" if content.parts else verdict(part)
        for part in content.trained_parts
    ]
    own = [each for each in content.evaluations if not each.of_the_base]
    said += in_short(own[0]) if own else ["Not evaluated yet."]
    said.append(export_verdict(content) or "Not exported yet.")
    blocks: list[Block] = [Facts(_facts(content)), Said(said)]
    for part in content.trained_parts:
        if part.summary.state in {"stopped", "interrupted"}:
            blocks.append(Sentence(f"It goes on with: `{part.summary.next}`"))
    blocks += [
        Sentence(f"{part.name}/{file} cannot be used: {reason}", "wrong")
        for part in {id(each): each for each in (content, *content.parts)}.values()
        for file, reason in part.problems
    ]
    return Section("What it says", "overview", blocks)


def _facts(content: RunContent) -> list[tuple[str, str]]:
    """The numbers that one asks for first."""
    parts = content.trained_parts
    done = sum(part.steps[0] for part in parts if number(part.steps[0]) is not None)
    totals = [part.steps[1] for part in parts]
    all_of_them = "?" if None in totals else f"{sum(each or 0 for each in totals):,}"
    recipe = parts[0].recipe
    facts = [
        ("recipe", "–" if recipe is None else text(recipe.name, 60)),
        ("base", "–" if recipe is None else text(recipe.model.base, 80)),
        ("steps", f"{done:,} of {all_of_them}"),
        ("time in training", said_time(_sum([part.seconds for part in parts]))),
    ]
    if not content.parts:
        best = content.best
        loss = "–" if best is None else f"{best[1]:.4f}"
        facts.append(("best validation loss", loss))
        facts.append(("at step", "–" if best is None else f"{best[0]:,}"))
    memory = max(filter(None, (part.memory_gb for part in parts)), default=None)
    samples = _sum([_samples(part) for part in parts])
    facts += [
        ("peak memory", said_number(memory, "{:.2f} GB")),
        ("training samples", said_number(samples, "{:,.0f}")),
        ("device", text(parts[0].environment.get("device"), 60) or "–"),
        ("exported files", f"{len(sequence(content.export.get('files')))}"),
    ]
    return facts


def _samples(content: RunContent) -> float | None:
    counts = mapping(mapping(content.data.get("samples")).get("train")).values()
    return _sum([whole(each) for each in counts])


def _sum(values: list[float | None] | list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
