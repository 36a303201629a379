"""Scores against targets and the trivial predictor, with intervals and verdicts: from `evaluation/*.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.reporting.run_page.blocks import (
    Block,
    Cell,
    Figures,
    Heading,
    Said,
    Section,
    Sentence,
    Table,
)
from lexitrain.reporting.run_page.charts import Charts, Interval, interval_chart
from lexitrain.reporting.run_page.plain_values import (
    mapping,
    number,
    said_interval,
    said_number,
    sequence,
    text,
    whole,
)
from lexitrain.reporting.run_page.sections.answers import answer_blocks

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent, SavedEvaluation

_MOST_TASKS = 20
_MOST_SCORES = 20
_MOST_LABELS = 26
_LEARNT = {"learnt", "not shown", "worse than trivial"}
_REACHED = {"met", "missed", "not shown"}
_MOST_SHOWN = 6
"""Evaluations that are shown; further ones are named."""


def scores_section(content: RunContent, charts: Charts) -> Section:
    """Every evaluation; the first one with the answers."""
    blocks: list[Block] = []
    if not content.evaluations:
        command = f"lexitrain evaluate {content.run.path} --data DIR"
        blocks.append(Sentence(f"Not evaluated yet: `{command}` scores it.", "lacking"))
    for place, saved in enumerate(content.evaluations[:_MOST_SHOWN]):
        blocks += _evaluation(saved, charts, first=place == 0)
    if left := content.evaluations[_MOST_SHOWN:]:
        names = ", ".join(text(each.name, 60) for each in left)
        blocks.append(Sentence(f"Besides, not shown: {names}.", "lacking"))
    return Section("Scores", "scores", blocks)


def verdicts(saved: SavedEvaluation) -> list[str]:
    """A sentence a task."""
    found = [
        text(mapping(task).get("verdict"))
        for task in list(mapping(saved.content.get("tasks")).values())[:_MOST_TASKS]
    ]
    return [each for each in found if each]


def in_short(saved: SavedEvaluation) -> list[str]:
    """Which tasks are learnt, and which targets are reached, in a sentence each."""
    learnt: dict[str, list[str]] = {}
    reached: dict[str, list[str]] = {}
    for name, raw in list(mapping(saved.content.get("tasks")).items())[:_MOST_TASKS]:
        task, short = mapping(raw), text(name, 40)
        found = text(task.get("learnt"), 40)
        learnt.setdefault(found if found in _LEARNT else "unknown", []).append(short)
        for label, score in list(mapping(task.get("scores")).items())[:_MOST_SCORES]:
            found = text(mapping(score).get("target_verdict"), 20)
            if found in _REACHED:
                told = f"{short} {text(label, 40).replace('_', ' ')}"
                reached.setdefault(found, []).append(told)
    said: list[str] = []
    for what, found in (("Tasks", learnt), ("Targets", reached)):
        told = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in found.items())
        said += [f"{what} {told}."] if told else []
    return said


def primary_score(task: object) -> tuple[str, dict[str, Any]]:
    """Name and content of the score that decides a task; empty where there is none."""
    found = mapping(task)
    name = text(found.get("primary"), 60)
    return name, mapping(mapping(found.get("scores")).get(name))


def _evaluation(saved: SavedEvaluation, charts: Charts, *, first: bool) -> list[Block]:
    content = saved.content
    data = mapping(content.get("data"))
    whose = "the base, before training" if saved.of_the_base else "this run"
    count = whole(content.get("n"))
    blocks: list[Block] = [
        Heading(f"{saved.name}: {whose}"),
        Sentence(
            f"{'–' if count is None else f'{count:,}'} records of {text(data.get('file'))}."
            f"{_decoding(content)}{_grouping(content)}"
        ),
    ]
    if first:
        figure = _against_targets(content, charts)
        blocks += [figure] if figure else []
    if said := verdicts(saved):
        blocks.append(Said(said))
    blocks.append(_table(saved, folded=not first))
    blocks += _details(saved, folded=True)
    blocks += _confusions(saved, folded=not first)
    blocks += _invalid(saved)
    if first:
        blocks += answer_blocks(saved)
    return blocks


def _decoding(content: dict[str, Any]) -> str:
    decoding = mapping(content.get("decoding"))
    told: list[str] = []
    temperature = number(decoding.get("temperature"))
    if temperature:
        samples = whole(decoding.get("samples"))
        told.append(
            f"drawn at temperature {temperature:g}, {number_of(samples or 1, 'answer')} a record"
        )
    if decoding.get("json_schema") is True:
        told.append("held to the schema")
    return f" Answers are {', '.join(told)}." if told else ""


def _grouping(content: dict[str, Any]) -> str:
    groups = mapping(content.get("groups"))
    keys = ", ".join(text(each, 40) for each in sequence(groups.get("keys"))[:6])
    count = whole(groups.get("count"))
    if not keys or count is None:
        return ""
    return (
        f" Records that share {keys} are taken together: {number_of(count, 'independent group')}."
    )


def _against_targets(content: dict[str, Any], charts: Charts) -> Figures | None:
    rows: list[Interval] = []
    for task, found in list(mapping(content.get("tasks")).items())[:_MOST_TASKS]:
        name, score = primary_score(found)
        value = number(score.get("value"))
        if value is not None:
            rows.append(
                Interval(
                    f"{text(task, 18)} {name.replace('_', ' ')}",
                    value,
                    number(score.get("low")),
                    number(score.get("high")),
                    number(score.get("trivial")),
                    _target(score.get("target")),
                )
            )
    if not rows:
        return None
    said = "; ".join(
        f"{row.name} {row.value:.3f}" + ("" if row.target is None else f" (target {row.target:g})")
        for row in rows
    )
    title = "The score that decides each task"
    return Figures([interval_chart(charts, title, f"{said}.", rows, x="score")])


def _target(value: object) -> float | None:
    try:
        return number(float(text(value, 40).lstrip("<>=")))
    except ValueError:
        return None


def _table(saved: SavedEvaluation, *, folded: bool) -> Table:
    rows: list[list[str | Cell]] = []
    for name, raw in list(mapping(saved.content.get("tasks")).items())[:_MOST_TASKS]:
        task, heading = mapping(raw), text(name, 60)
        labelled = {
            "JSON validity": mapping(task.get("json_validity")),
            "schema validity": mapping(task.get("schema_validity")),
            "loss": mapping(task.get("loss")),
        }
        scores = list(mapping(task.get("scores")).items())[:_MOST_SCORES]
        labelled |= {text(key, 60).replace("_", " "): mapping(score) for key, score in scores}
        rows += _rows(heading, labelled)
    for name, raw in list(mapping(saved.content.get("conversations")).items())[:_MOST_TASKS]:
        scores = list(mapping(mapping(raw).get("scores")).items())[:_MOST_SCORES]
        labelled = {text(key, 60).replace("_", " "): mapping(score) for key, score in scores}
        rows += _rows(f"{text(name, 60)}, conversations", labelled)
    return Table(
        f"{saved.name}: scores",
        ["task", "score", "value", "95 % interval", "trivial", "target", "reached", "n"],
        rows,
        frozenset({2, 3, 4, 5, 7}),
        folded=folded,
    )


def _rows(heading: str, labelled: dict[str, dict[str, Any]]) -> list[list[str | Cell]]:
    rows: list[list[str | Cell]] = []
    for label, score in labelled.items():
        if not score:
            continue
        value = said_number(number(score.get("value")))
        count = whole(score.get("n"))
        rows.append(
            [
                "" if rows else heading,
                label,
                Cell(value, "good") if score.get("beats_trivial") is True else value,
                said_interval(number(score.get("low")), number(score.get("high"))),
                said_number(number(score.get("trivial"))),
                text(score.get("target"), 20),
                _reached(score),
                "–" if count is None else f"{count:,}",
            ]
        )
    return rows


def _reached(score: dict[str, Any]) -> str | Cell:
    said = text(score.get("target_verdict"), 20)
    return Cell(said, {"met": "good", "missed": "bad"}.get(said, ""))


def _details(saved: SavedEvaluation, *, folded: bool) -> list[Block]:
    """The scores of parts: recall by level and the like."""
    tables: list[Block] = []
    for name, raw in list(mapping(saved.content.get("tasks")).items())[:_MOST_TASKS]:
        for title, parts in list(mapping(mapping(raw).get("details")).items())[:6]:
            rows: list[list[str | Cell]] = []
            for part, score in list(mapping(parts).items())[:40]:
                found = mapping(score)
                low, high = number(found.get("low")), number(found.get("high"))
                count = whole(found.get("n"))
                rows.append(
                    [
                        text(part, 60).replace("_", " "),
                        said_number(number(found.get("value"))),
                        said_interval(low, high),
                        "–" if count is None else f"{count:,}",
                    ]
                )
            caption = f"{saved.name}: {text(name, 60)}, {text(title, 60)}"
            head = ["", "value", "95 % interval", "n"]
            if rows:
                tables.append(Table(caption, head, rows, frozenset({1, 2, 3}), folded=folded))
    return tables


def _confusions(saved: SavedEvaluation, *, folded: bool) -> list[Block]:
    tables: list[Block] = []
    for name, raw in list(mapping(saved.content.get("tasks")).items())[:_MOST_TASKS]:
        confusion = mapping(mapping(raw).get("confusion"))
        actual = [text(each, 40) for each in sequence(confusion.get("actual"))[:_MOST_LABELS]]
        given = [text(each, 40) for each in sequence(confusion.get("predicted"))[:_MOST_LABELS]]
        lines = [sequence(each) for each in sequence(confusion.get("counts"))]
        rows: list[list[str | Cell]] = []
        for label, line in zip(actual, lines, strict=False):
            counts = [whole(each) for each in line[: len(given)]]
            total = sum(each or 0 for each in counts)
            cells = [_confused(each, total) for each in counts]
            rows.append([label, *cells, *[""] * (len(given) - len(cells))])
        if rows and given:
            caption = f"{saved.name}: {text(name, 60)}, true (rows) and answered (columns)"
            columns = frozenset(range(1, len(given) + 1))
            tables.append(Table(caption, ["", *given], rows, columns, folded=folded))
    return tables


def _confused(count: int | None, total: int) -> Cell:
    if count is None or count < 0:
        return Cell("–")
    return Cell(f"{count:,}", shade=round(55 * count / total) if total else 0)


def _invalid(saved: SavedEvaluation) -> list[Block]:
    """The reasons of answers that are none, each with an example."""
    rows: list[list[str | Cell]] = []
    for name, raw in list(mapping(saved.content.get("tasks")).items())[:_MOST_TASKS]:
        for group in map(mapping, sequence(mapping(raw).get("invalid"))[:5]):
            example = mapping(group.get("example"))
            count, row = whole(group.get("count")), whole(example.get("row"))
            rows.append(
                [
                    text(name, 60),
                    text(group.get("reason"), 200),
                    "–" if count is None else f"{count:,}",
                    "–" if row is None else f"{row}",
                    text(example.get("text"), 300),
                ]
            )
    if not rows:
        return []
    caption = f"{saved.name}: answers that are not valid"
    head = ["task", "reason", "answers", "row", "example"]
    return [Table(caption, head, rows, frozenset({2, 3}), frozenset({1, 4}), folded=True)]
