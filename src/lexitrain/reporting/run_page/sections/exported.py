"""What was exported and what is shown of it: from `export/export.json`."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.reporting.run_page.blocks import Block, Cell, Said, Section, Sentence, Table
from lexitrain.reporting.run_page.plain_values import (
    mapping,
    number,
    said_bytes,
    said_interval,
    said_number,
    said_time,
    sequence,
    text,
    whole,
)

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent

_MOST_FILES = 30
_MOST_TASKS = 20


def export_section(content: RunContent) -> Section:
    """Files with sizes and true types, how far each is from the adapter, and whether it passed."""
    export = content.export
    blocks: list[Block] = []
    files = [mapping(each) for each in sequence(export.get("files"))[:_MOST_FILES]]
    files = [each for each in files if each]
    if not files:
        command = f"lexitrain export {content.run.path} --to gguf --verify DIR"
        said = "Not exported" if not export else "export.json names no file"
        blocks.append(Sentence(f"{said}: `{command}` writes files and proves them.", "lacking"))
        return Section("Export", "export", blocks)
    blocks.append(_files(files))
    if verdicts := _verdicts(export):
        blocks.append(Said(verdicts))
    verified = [each for each in files if mapping(each.get("verification"))]
    if verified:
        blocks += [_distances(verified), _tasks(files)]
    else:
        blocks.append(
            Sentence("No file was verified: --verify holds each against the adapter.", "lacking")
        )
    return Section("Export", "export", blocks)


def export_verdict(content: RunContent) -> str:
    """One sentence; empty where nothing was exported."""
    files = [mapping(each) for each in sequence(content.export.get("files"))]
    if not files:
        return ""
    verified = [each for each in files if mapping(each.get("verification"))]
    told = f"{number_of(len(files), 'exported file')}"
    if not verified:
        return f"{told}, not verified."
    if content.export.get("passed") is True:
        return f"{told}; {len(verified)} verified, no worse than the adapter by the margin."
    return f"{told}; not all that was asked for is shown: see Export."


def _name(file: dict[str, Any]) -> str:
    return PurePath(text(file.get("path"))).name or "–"


def _files(files: list[dict[str, Any]]) -> Table:
    rows: list[list[str | Cell]] = []
    for file in files:
        types = sorted(
            (
                (count, text(name, 20))
                for name, raw in mapping(file.get("types")).items()
                if (count := whole(raw)) is not None
            ),
            reverse=True,
        )
        biases = whole(file.get("biases"))
        told = ", ".join(f"{count} × {name}" for count, name in types[:8])
        rows.append(
            [
                _name(file),
                text(file.get("form"), 20) or "–",
                text(file.get("quantization"), 20) or "–",
                said_bytes(number(file.get("bytes"))),
                f"{told} ({biases} biases)" if told and biases else told or "–",
                _passed(file),
                _phone(file),
            ]
        )
    head = ["file", "form", "mixture", "size", "types of its tensors", "verified", "on a phone"]
    return Table("Files", head, rows, frozenset({3}), frozenset({4, 6}))


def _passed(file: dict[str, Any]) -> str | Cell:
    found = mapping(file.get("verification"))
    if not found:
        return "not verified"
    return Cell("passed", "good") if found.get("passed") is True else Cell("missed", "bad")


def _phone(file: dict[str, Any]) -> str:
    budget = mapping(file.get("phone"))
    memory, context = number(budget.get("memory_mb")), whole(budget.get("context"))
    if memory is None:
        return "–"
    smallest = whole(budget.get("smallest_phone_gb"))
    fits = "more than half of 8 GB" if smallest is None else f"at most half of {smallest} GB"
    of_context = "" if context is None else f" with a context of {context:,}"
    return f"{memory:,.0f} MB{of_context}, {fits}; computed, not measured"


def _verdicts(export: dict[str, Any]) -> list[str]:
    missed = [f"Missed: {text(each)}" for each in sequence(export.get("missed"))[:20]]
    for file in map(mapping, sequence(export.get("files"))[:_MOST_FILES]):
        found = mapping(file.get("verification"))
        missed += [
            f"Missed: {_name(file)}: {text(each)}" for each in sequence(found.get("missed"))[:10]
        ]
    chosen = text(export.get("chosen"))
    notes = [text(each) for each in sequence(export.get("notes"))[:20]]
    best = [f"Chosen as the smallest that is no worse: {PurePath(chosen).name}."] if chosen else []
    passed = ["Passed: nothing was lost that the margin does not allow."]
    shown = passed if export.get("passed") is True and _any_verified(export) else []
    return [*shown, *best, *dict.fromkeys(missed), *notes]


def _any_verified(export: dict[str, Any]) -> bool:
    return any(mapping(mapping(each).get("verification")) for each in sequence(export.get("files")))


def _distances(files: list[dict[str, Any]]) -> Table:
    rows: list[list[str | Cell]] = []
    for file in files:
        found = mapping(file.get("verification"))
        far, speed = mapping(found.get("distances")), mapping(found.get("speed"))
        perplexity, held = mapping(far.get("perplexity")), mapping(found.get("under_the_grammar"))
        finished, invalid = whole(held.get("finished")), whole(held.get("invalid"))
        before, after = number(perplexity.get("adapter")), number(perplexity.get("file"))
        rows.append(
            [
                _name(file),
                said_number(number(far.get("positions")), "{:,.0f}"),
                said_number(number(far.get("mean_kl")), "{:.1e}"),
                said_number(number(far.get("top_1")), "{:.2%}"),
                f"{said_number(before)} → {said_number(after)}",
                said_number(number(found.get("equal_answers")), "{:.1%}"),
                "–"
                if finished is None or invalid is None
                else f"{finished - invalid} of {finished}",
                said_number(number(speed.get("tokens_per_second")), "{:,.0f} tokens/s"),
                said_time(number(speed.get("load_seconds"))),
            ]
        )
    head = [
        *("file", "tokens", "KL, nats", "same first choice", "perplexity", "equal answers"),
        *("valid under the grammar", "writes", "loads in"),
    ]
    caption = "Held against the adapter on the same records"
    return Table(caption, head, rows, frozenset(range(1, len(head))))


def _tasks(files: list[dict[str, Any]]) -> Table:
    """Differences in the score that decides each task, the file's less the adapter's."""
    rows: list[list[str | Cell]] = []
    margins: dict[str, None] = {}
    for file in files:
        found = mapping(file.get("verification"))
        tasks = mapping(found.get("tasks")) or mapping(file.get("merge_tasks"))
        margin = number(found.get("margin"))
        margins |= {} if margin is None else {f"{margin:g}": None}
        for place, (name, raw) in enumerate(list(tasks.items())[:_MOST_TASKS]):
            task = mapping(raw)
            primary = text(task.get("primary"), 60)
            difference = mapping(mapping(task.get("differences")).get(primary))
            shown = text(task.get("no_worse_by_margin"), 40)
            rows.append(
                [
                    "" if place else _name(file),
                    text(name, 60),
                    primary.replace("_", " "),
                    said_number(number(difference.get("value")), "{:+.3f}"),
                    said_interval(
                        number(difference.get("low")), number(difference.get("high")), "{:+.3f}"
                    ),
                    Cell(shown, {"shown": "good", "refuted": "bad"}.get(shown, "")),
                ]
            )
    by = f" by {', '.join(margins)}" if margins else ""
    head = ["file", "task", "score", "difference", "95 % interval", f"no worse{by}"]
    return Table(
        "Differences in scores, the file's less the adapter's", head, rows, frozenset({3, 4})
    )
