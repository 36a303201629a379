"""What `lexitrain data lengths` measures and shows: samples rendered whole, then laid out in steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.cli.console import console
from lexitrain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lexitrain.recipe.schema import Recipe
    from lexitrain.records.record import Record
    from lexitrain.samples.lengths import LengthReport
    from lexitrain.tasks.task import Task

_ANY_LENGTH = 1 << 20  # tokens: nothing is shortened while lengths are measured
_STEPS = 200  # steps laid out: their mean is then known to about a percent
_USUAL_MICRO_BATCH = 4
_PREPARE_FIRST = "Clean the records first: lexitrain data prepare"


def measure(
    file: str, recipe: Recipe, cover: float, limit: int, progress: Callable[[str, int, int], None]
) -> tuple[LengthReport, NDArray[np.int64]]:
    """The length report, and every sample's length before truncation."""
    import numpy as np

    from lexitrain.batching.layout import step_tokens
    from lexitrain.models.loading import load_tokenizer
    from lexitrain.records.drawing import draw_records
    from lexitrain.samples.lengths import length_report
    from lexitrain.samples.rendering import Renderer
    from lexitrain.tasks.registry import registry

    tasks = registry(recipe.data.custom_tasks)
    records, _ = draw_records(_usable(file, tasks), limit, recipe.seed)
    if not records:
        raise InputError("There are no records to measure.", where=file)
    progress("tokenizing", 0, len(records))
    tokenizer = load_tokenizer(recipe.model.base, recipe.model.revision)
    whole = Renderer(tokenizer, tasks, _ANY_LENGTH).render_all(records)
    long = [sample.index for sample in whole if len(sample) > recipe.data.max_length]
    cut = {sample.index: sample for sample in whole}
    shortener = Renderer(tokenizer, tasks, recipe.data.max_length)
    unfit: list[int] = []
    for index in long:
        shortened = shortener.render_all(
            [records[index]], first_index=index, on_unfit=lambda row, _reason: unfit.append(row)
        )
        cut.update({sample.index: sample for sample in shortened})
    for index in unfit:
        del cut[index]
    order = np.random.default_rng(recipe.seed).permutation(list(cut))
    size = min(recipe.step.effective_batch, len(order))
    steps = [order[start : start + size] for start in range(0, len(order), max(1, size))]
    steps = [step for step in steps if len(step) == size][:_STEPS]
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
        unfit=len(unfit),
        shares=(cover,),
    )
    return report, prompts + completions


def _usable(file: str, tasks: Mapping[str, Task]) -> Iterator[Record]:
    """The records to measure; raises InputError at the first one that cannot be used."""
    from lexitrain.records.prepared import TRAIN, split_file
    from lexitrain.records.reading import read_records
    from lexitrain.records.record import BadRecord
    from lexitrain.tasks.registry import aliases

    train = split_file(Path(file), TRAIN)
    found = read_records(train if train.is_file() else file, aliases=aliases(tasks))
    for number, record in enumerate(found, start=1):
        if isinstance(record, BadRecord):
            raise InputError(
                record.reason, where=f"{record.file}:{record.line}", fix=_PREPARE_FIRST
            )
        if reason := tasks[record.task].check(record):
            raise InputError(
                f"Record {number} cannot be used: {reason}.", where=file, fix=_PREPARE_FIRST
            )
        yield record


def print_lengths(report: LengthReport, recipe: str) -> None:
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
    if report.unfit:
        shown.print(f"{report.unfit:,} samples do not fit even without the learner's text.\n")
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
