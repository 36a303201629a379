"""`lexitrain data`: prepare raw records, generate synthetic ones, measure their lengths."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.console import console, errors_console, print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexitrain.data.lengths import LengthReport
    from lexitrain.data.records import Record
    from lexitrain.recipe import Recipe
    from lexitrain.tasks.task import Task

app = typer.Typer(
    name="data",
    help="Prepare raw records for training, generate synthetic ones, measure their lengths.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_ANY_LENGTH = 1 << 20  # tokens: nothing is shortened while lengths are measured
_STEPS = 200  # steps laid out: their mean is then known to about a percent
_USUAL_MICRO_BATCH = 4
_PREPARE_FIRST = "Clean the records first: lexitrain data prepare"

_AS_JSON = typer.Option("--json", help="Print one JSON document.")
_CUSTOM = typer.Option(
    "--custom-task",
    metavar="PATH.py|MODULE:ATTRIBUTE",
    help="A task of your own; may be given several times.",
)


@app.command()
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Files (.jsonl, .json, .csv, .tsv, .parquet, .m2), dataset folders, or Hub ids.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the result.")],
    seed: Annotated[int, typer.Option(help="Decides the split.")] = 42,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="The task of rows that name none.")
    ] = None,
    max_bad: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of bad records at which nothing is written."),
    ] = 0.01,
    min_characters: Annotated[
        int, typer.Option(min=1, help="Drop inputs with fewer letters and digits than this.")
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that parse; chosen by the input's size if not given."),
    ] = None,
    custom_task: Annotated[list[str] | None, _CUSTOM] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Clean, deduplicate and split records into train, validation and test files."""
    from functools import partial

    from lexitrain.data.intake import Rules
    from lexitrain.data.prepare import prepare as prepare_data
    from lexitrain.tasks.registry import aliases

    custom = tuple(custom_task or ())
    default = None if task is None else _known_task(task, custom)
    names = aliases(_tasks(custom))
    rules = Rules(names, partial(_reason_against, custom), default, min_characters)
    with _progress() as progress:
        report = prepare_data(
            sources, out, rules, seed=seed, max_bad=max_bad, workers=workers, progress=progress
        )
    if as_json:
        print_json(report | {"out": str(out)})
    else:
        _print_preparation(report, out)


@app.command()
def generate(
    count: Annotated[int, typer.Option("--count", min=1, help="How many records.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The JSONL file to write.")],
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same records.")] = 42,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="Only this task; may be given several times."),
    ] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Write synthetic tutor records: learner errors, levels, replies, explanations."""
    from collections import Counter

    from lexitrain.data.atomic import file_at_once
    from lexitrain.data.generator import generate as generate_records

    tasks = [_known_task(name) for name in task or ()] or None
    counts: Counter[str] = Counter()
    with _progress() as progress, file_at_once(out) as file:
        for number, record in enumerate(generate_records(count, seed, tasks)):
            file.write((record.to_json() + "\n").encode())
            counts[record.task] += 1
            if number % 1000 == 0:
                progress("generating", number, count)
    if as_json:
        print_json({"out": str(out), "records": count, "seed": seed, "tasks": dict(counts)})
    else:
        shares = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
        console().print(f"{count:,} records in {out}: {shares}.")
        console().print(f"Next: lexitrain data prepare {out} --out DIR")


@app.command()
def lengths(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A prepared folder, or records in any form.")
    ],
    recipe: Annotated[
        str, typer.Option(metavar="R", help="Recipe whose tokenizer and step are used.")
    ] = "fast",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe."),
    ] = None,
    cover: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Also find the max_length for this share.")
    ] = 0.9,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the distribution.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Measure at most so many records, drawn at random.")
    ] = 50_000,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Token lengths per task, the max_length they need, and what each layout makes of them."""
    from lexitrain.recipe_file import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    with _progress() as progress:
        report, totals = _measure(file, loaded, cover, limit, progress)
    if plot is not None:
        from lexitrain.reporting.lengths import draw_lengths

        draw_lengths(totals, report, plot)
    if as_json:
        print_json({"file": file, "recipe": loaded.name, **report.to_json()})
    else:
        _print_lengths(report, loaded.name)
        if plot is not None:
            console().print(f"Plot: {plot}")


@lru_cache(maxsize=1)
def _tasks(custom: tuple[str, ...]) -> Mapping[str, Task]:
    from lexitrain.tasks.registry import registry

    return registry(custom)


def _reason_against(custom: tuple[str, ...], record: Record) -> str | None:
    """Why a record's output is no answer to its task. At module level, so that worker processes can be given it."""
    return _tasks(custom)[record.task].check(record)


def _known_task(name: str, custom: tuple[str, ...] = ()) -> str:
    """The short name of a task. Raises InputError naming the nearest one."""
    from lexitrain.errors import InputError, nearest
    from lexitrain.tasks.registry import aliases

    names = aliases(_tasks(custom))
    if name not in names:
        close = nearest(name, names)
        raise InputError(
            f"There is no task {name!r}.",
            where="--task",
            fix=f"Did you mean {close}?" if close else f"Tasks: {', '.join(sorted(names))}.",
        )
    return names[name]


@contextmanager
def _progress() -> Generator[Callable[[str, int, int], None]]:
    """Shows what is being done: a bar in a terminal, a line every ten seconds elsewhere."""
    from time import monotonic

    out = errors_console()
    if out.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=out,
            transient=True,
        )
        with bar:
            shown = bar.add_task("")
            yield lambda stage, done, total: bar.update(
                shown, description=stage, completed=done, total=total or None
            )
        return
    told = monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal told
        if monotonic() - told >= 10:
            told = monotonic()
            out.print(f"{stage}: {done / total:.0%}" if total else stage)

    yield tell


def _print_preparation(report: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    for heading in ("read", "dropped", "train", "validation", "test"):
        table.add_column(heading, justify="right")
    for name, task in report["tasks"].items():
        numbers = (
            task["read"],
            task["read"] - task["kept"],
            *(task[split] for split in report["splits"]),
        )
        table.add_row(name, *(f"{number:,}" for number in numbers))
    records = report["records"]
    splits = (split["records"] for split in report["splits"].values())
    totals = (records["read"] - records["bad"], records["dropped"], *splits)
    table.add_row("all", *(f"[bold]{number:,}[/]" for number in totals))
    shown = console()
    shown.print(table)
    for reason, count in _reasons(report).items():
        shown.print(f"dropped: {reason}, {count:,}", markup=False)
    if records["bad"]:
        shown.print(f"bad records: {records['bad']:,}", markup=False)
        for place in report["bad_records"][:5]:
            shown.print(f"  {place}", markup=False)
    shown.print(
        f"Written to {out}: train.jsonl, validation.jsonl, test.jsonl, report.json.", markup=False
    )


def _reasons(report: dict[str, Any]) -> dict[str, int]:
    from collections import Counter

    reasons: Counter[str] = Counter()
    for task in report["tasks"].values():
        reasons.update(task["dropped"])
    return dict(reasons.most_common(10))


def _measure(
    file: str, recipe: Recipe, cover: float, limit: int, progress: Callable[[str, int, int], None]
) -> tuple[LengthReport, NDArray[np.int64]]:
    """The length report, and every sample's length before truncation."""
    import numpy as np

    from lexitrain.data.lengths import length_report
    from lexitrain.layout import step_tokens
    from lexitrain.models.base import load_tokenizer
    from lexitrain.rendering import Renderer

    tasks = _tasks(recipe.data.custom_tasks)
    records = _some_records(file, recipe.data.custom_tasks, limit, recipe.seed)
    progress("tokenizing", 0, len(records))
    tokenizer = load_tokenizer(recipe.model.base, recipe.model.revision)
    whole = Renderer(tokenizer, tasks, _ANY_LENGTH).render_all(records)
    long = [sample.index for sample in whole if len(sample) > recipe.data.max_length]
    cut = {sample.index: sample for sample in whole}
    shortener = Renderer(tokenizer, tasks, recipe.data.max_length)
    for index in long:
        [cut[index]] = shortener.render_all([records[index]], first_index=index)
    order = np.random.default_rng(recipe.seed).permutation(len(whole))
    size = min(recipe.step.effective_batch, len(whole))
    steps = [order[start : start + size] for start in range(0, len(order) - size + 1, size)][
        :_STEPS
    ]
    packed: dict[str, list[int]] = {"packed": [], "tree": []}
    for number, step in enumerate(steps):
        samples = [cut[int(index)] for index in step]
        packed["packed"].append(step_tokens(samples, "packed", recipe.data.max_length))
        packed["tree"].append(step_tokens(samples, "tree", recipe.data.max_length))
        progress("laying out steps", number, len(steps))
    micro_batch = recipe.step.micro_batch
    prompts = np.array([len(sample.prompt_ids) for sample in whole])
    completions = np.array([len(sample.completion_ids) for sample in whole])
    report = length_report(
        prompts,
        completions,
        [sample.task for sample in whole],
        steps,
        max_length=recipe.data.max_length,
        effective_batch=size,
        micro_batch=_USUAL_MICRO_BATCH if micro_batch == "auto" else micro_batch,
        packed=packed,
        shares=(cover,),
    )
    return report, prompts + completions


def _some_records(file: str, custom: tuple[str, ...], limit: int, seed: int) -> list[Record]:
    """Up to `limit` records, every one as likely as any other (reservoir sampling)."""
    from random import Random

    from lexitrain.data.reading import read_records
    from lexitrain.data.records import BadRecord
    from lexitrain.errors import InputError
    from lexitrain.tasks.registry import aliases

    train = Path(file) / "train.jsonl"
    names = aliases(_tasks(custom))
    draw, kept = Random(seed), list[Record]()
    found = read_records(train if train.is_file() else file, aliases=names)
    for number, record in enumerate(found, start=1):
        if isinstance(record, BadRecord):
            raise InputError(
                record.reason, where=f"{record.file}:{record.line}", fix=_PREPARE_FIRST
            )
        if reason := _reason_against(custom, record):
            raise InputError(
                f"Record {number} cannot be used: {reason}.", where=file, fix=_PREPARE_FIRST
            )
        place = len(kept) if len(kept) < limit else draw.randrange(number)
        if place == len(kept):
            kept.append(record)
        elif place < limit:
            kept[place] = record
    return kept


def _print_lengths(report: LengthReport, recipe: str) -> None:
    from rich.table import Table

    shown = console()
    table = Table(
        box=None, pad_edge=False, header_style="bold", title="tokens a sample", title_justify="left"
    )
    table.add_column("task")
    for heading in ("samples", "mean", "p50", "p90", "p95", "p99", "max", "prompt", "completion"):
        table.add_column(heading, justify="right")
    for name, task in report.tasks.items():
        total = task.total
        table.add_row(
            name, f"{task.samples:,}", f"{total.mean:.1f}",
            *(f"{each:,}" for each in (total.p50, total.p90, total.p95, total.p99, total.max)),
            f"{task.prompt.mean:.1f}", f"{task.completion.mean:.1f}",
        )  # fmt: skip
    shown.print(table)
    covers = ", ".join(f"{length} for {share:.4g} %" for share, length in
                       ((100 * share, length) for share, length in report.covering.items()))  # fmt: skip
    shown.print(f"\nmax_length that leaves samples whole: {covers}.")
    shown.print(
        f"{recipe} uses {report.max_length}, which shortens {report.shortened:.2%} of the samples.\n"
    )
    layouts = Table(box=None, pad_edge=False, header_style="bold",
                    title=f"tokens a step of {report.effective_batch}", title_justify="left")  # fmt: skip
    layouts.add_column("layout")
    for heading in ("tokens", "padding"):
        layouts.add_column(heading, justify="right")
    named = {
        "padded": f"padded to {report.max_length}",
        "padded_to_longest": f"padded to the longest of {report.micro_batch}",
        "packed": "packed",
        "tree": "prefix tree",
    }
    for layout, name in named.items():
        waste = report.padding_waste.get(layout, 0.0)
        layouts.add_row(name, f"{report.step_tokens[layout]:,.0f}", f"{waste:.0%}")
    shown.print(layouts)
