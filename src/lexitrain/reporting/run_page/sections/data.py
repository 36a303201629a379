"""What a run is trained on: lengths of the samples and balance of the tasks, from data.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.errors import number_of
from lexitrain.reporting.run_page.blocks import (
    Block,
    Figure,
    Figures,
    Section,
    Sentence,
    Table,
)
from lexitrain.reporting.run_page.charts import Charts, bar_chart
from lexitrain.reporting.run_page.plain_values import mapping, number, said_bytes, text, whole

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent

_LENGTHS = {
    "p50": "half are at most",
    "mean": "mean",
    "p90": "90 % are at most",
    "p99": "99 % are at most",
    "max": "longest",
}
_MOST_TASKS = 20
_MOST_SPLITS = 4


def data_section(content: RunContent, charts: Charts) -> Section:
    """Sources, sample lengths and task balance."""
    blocks: list[Block] = []
    for part in content.trained_parts:
        blocks += _one_run(part, charts, f"{part.name}: " if content.parts else "")
    return Section("Data", "data", blocks)


def _one_run(content: RunContent, charts: Charts, of: str) -> list[Block]:
    data = content.data
    if not data:
        return [Sentence(f"{of}There is no data.json that can be read.", "lacking")]
    blocks: list[Block] = [_files(content, of)]
    figures = [
        each for each in (_lengths(content, charts, of), _balance(content, charts, of)) if each
    ]
    if figures:
        blocks.append(Figures(figures))
    if len(figures) < 2:
        blocks.append(Sentence(f"{of}data.json does not hold all lengths and counts.", "lacking"))
    blocks += _left_out(content, of)
    return blocks


def _files(content: RunContent, of: str) -> Table:
    rows = [
        [text(name, 80), said_bytes(number(mapping(facts).get("bytes"))), text(mapping(facts).get("sha256"), 80)]
        for name, facts in list(mapping(content.data.get("files")).items())[:20]
    ]  # fmt: skip
    folder = text(content.data.get("folder"))
    return Table(f"{of}Files of {folder}", ["file", "size", "SHA-256"], rows, frozenset({1}))


def _lengths(content: RunContent, charts: Charts, of: str) -> Figure | None:
    lengths = mapping(content.data.get("token_lengths"))
    splits = [split for split in list(lengths)[:_MOST_SPLITS] if mapping(lengths[split])]
    rows: list[tuple[str, list[float]]] = []
    for key, name in _LENGTHS.items():
        values = [number(mapping(lengths[split]).get(key)) for split in splits]
        if values and all(value is not None for value in values):
            rows.append((name, [value or 0.0 for value in values]))
    if not rows:
        return None
    most = None if content.recipe is None else content.recipe.data.max_length
    said = "; ".join(
        f"{text(split, 40)}: " + ", ".join(f"{name} {values[place]:,.0f}" for name, values in rows)
        for place, split in enumerate(splits)
    )
    limit = "" if most is None else f" data.max_length is {most:,}."
    return bar_chart(
        charts,
        f"{of}Sample lengths",
        f"Tokens. {said}.{limit}",
        rows,
        x="tokens",
        names=[text(split, 40) for split in splits] if len(splits) > 1 else (),
        level=None if most is None else (float(most), "max_length"),
    )


def _balance(content: RunContent, charts: Charts, of: str) -> Figure | None:
    splits = {
        text(split, 40): counts
        for split, found in list(mapping(content.data.get("samples")).items())[:_MOST_SPLITS]
        if (counts := {t: n for t, raw in mapping(found).items() if (n := whole(raw)) is not None})
    }
    if not splits:
        return None
    first = next(iter(splits.values()))
    tasks = sorted(
        {task for counts in splits.values() for task in counts},
        key=lambda task: (-first.get(task, 0), task),
    )[:_MOST_TASKS]
    total = sum(first.values())
    said = "; ".join(
        f"{text(task, 40)} {first.get(task, 0):,}"
        + (f" ({first.get(task, 0) / total:.0%})" if total else "")
        for task in tasks
    )
    return bar_chart(
        charts,
        f"{of}Samples by task",
        f"{number_of(total, 'sample')} of {next(iter(splits))}: {said}.",
        [(text(task, 40), [float(counts.get(task, 0)) for counts in splits.values()]) for task in tasks],
        x="samples",
        names=list(splits) if len(splits) > 1 else (),
    )  # fmt: skip


def _left_out(content: RunContent, of: str) -> list[Block]:
    """Records that are not trained on, and samples that were shortened."""
    said: list[str] = []
    for key, words in (
        ("skipped", "records of {split} do not fit and are left out"),
        ("truncated", "samples of {split} are shortened"),
    ):
        for split, raw in list(mapping(content.data.get(key)).items())[:_MOST_SPLITS]:
            count = whole(raw)
            if count:
                said.append(f"{count:,} {words.format(split=text(split, 40))}")
    for reason, raw in list(mapping(content.data.get("unfit")).items())[:10]:
        said.append(f"{text(raw, 20)} could not be rendered: {text(reason)}")
    return [Sentence(f"{of}{'; '.join(said) or 'No record was left out and no sample shortened'}.")]
