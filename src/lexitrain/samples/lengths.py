"""How long samples are, which `max_length` they need, and what padding them would waste.

Pure statistics over arrays of token counts; who rendered the samples is no concern of this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import DataError, number_of

Counts = NDArray[np.int64]

SHARES = (0.9, 0.95, 0.99)
MULTIPLE = 32
"""Lengths are rounded up to this: tensor cores and kernels work on whole tiles."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Tokens a sample: their mean and percentiles (nearest rank: lengths that occur)."""

    mean: float
    p50: int
    p90: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class TaskLengths:
    """The samples of one task (or of all): whole, prompts alone, completions alone."""

    samples: int
    total: Distribution
    prompt: Distribution
    completion: Distribution


@dataclass(frozen=True, slots=True)
class LengthReport:
    """What `lexitrain data lengths` knows.

    Attributes:
        tasks: by short name, in order; `all` is everything together.
        covering: share of samples to the smallest `max_length` (a multiple of 32) that leaves them whole.
        max_length: the one in use.
        shortened: share of samples longer than that.
        unfit: samples that do not fit it even without the learner's text; the steps leave them out.
        effective_batch, micro_batch: samples a step, and samples that are padded to a common length.
        step_tokens: mean tokens a step by layout: `padded` to max_length, `padded_to_longest` of each micro-batch,
            `packed`, `tree`; and `real`, the samples' own tokens.
        padding_waste: share of a step's tokens that is padding, for the two padded layouts.
        warnings: sentences about what the tokenizer makes of these samples.
    """

    tasks: dict[str, TaskLengths]
    covering: dict[float, int]
    max_length: int
    shortened: float
    unfit: int
    effective_batch: int
    micro_batch: int
    step_tokens: dict[str, float]
    padding_waste: dict[str, float]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self) | {
            "covering": {f"{share:g}": length for share, length in self.covering.items()}
        }


def distribution(counts: Counts) -> Distribution:
    """Mean and percentiles of `counts`, at least one."""
    p50, p90, p95, p99 = np.percentile(counts, (50, 90, 95, 99), method="inverted_cdf")
    return Distribution(
        round(float(counts.mean()), 1), int(p50), int(p90), int(p95), int(p99), int(counts.max())
    )


def covering_length(totals: Counts, share: float) -> int:
    """The smallest multiple of 32 that at least `share` (0 to 1) of the samples do not exceed."""
    longest = int(np.percentile(totals, 100 * share, method="inverted_cdf"))
    return -(-longest // MULTIPLE) * MULTIPLE


def longest_of_each(totals: Counts, micro_batch: int) -> Counts:
    """Every sample's length after padding to the longest of its micro-batch (consecutive samples)."""
    starts = np.arange(0, len(totals), micro_batch)
    sizes = np.diff(np.append(starts, len(totals)))
    return np.repeat(np.maximum.reduceat(totals, starts), sizes)


def length_report(
    prompts: Counts,
    completions: Counts,
    tasks: Sequence[str],
    steps: Sequence[NDArray[np.int64]],
    *,
    max_length: int,
    effective_batch: int,
    micro_batch: int,
    packed: Mapping[str, Sequence[int]],
    unfit: int = 0,
    shares: Sequence[float] = SHARES,
    warnings: Sequence[str] = (),
) -> LengthReport:
    """The report of samples and of the steps drawn from them.

    Args:
        prompts, completions: [samples] tokens before truncation.
        tasks: [samples] short names.
        steps: the sample indices of each step.
        packed: layouts that do not pad, to the tokens of each step.
        unfit: how many samples no step can hold.
        shares: of the samples, to cover besides the usual ones.
        warnings: for the report.

    Raises:
        DataError: there are no samples, or none that a step can hold.
    """
    totals = prompts + completions
    if not len(totals):
        raise DataError(
            "There are no samples to measure.", fix="Bring records: lexitrain data prepare"
        )
    if not steps:
        raise DataError(
            f"No sample fits {number_of(max_length, 'token')}, even without the learner's text.",
            where="data.max_length",
            fix=f"The longest sample has {int(totals.max())} tokens.",
        )
    names = np.array(tasks)
    found = {
        name: _task_lengths(prompts[names == name], completions[names == name])
        for name in sorted(set(tasks))
    }
    found["all"] = _task_lengths(prompts, completions)
    cut = np.minimum(totals, max_length)
    real = float(np.mean([cut[step].sum() for step in steps]))
    padded = float(np.mean([len(step) * max_length for step in steps]))
    to_longest = float(np.mean([longest_of_each(cut[step], micro_batch).sum() for step in steps]))
    return LengthReport(
        tasks=found,
        covering={share: covering_length(totals, share) for share in sorted({*SHARES, *shares})},
        max_length=max_length,
        shortened=float(np.mean(totals > max_length)),
        unfit=unfit,
        effective_batch=effective_batch,
        micro_batch=micro_batch,
        step_tokens={
            "real": real,
            "padded": padded,
            "padded_to_longest": to_longest,
            **{layout: float(np.mean(tokens)) for layout, tokens in packed.items()},
        },
        padding_waste={"padded": 1 - real / padded, "padded_to_longest": 1 - real / to_longest},
        warnings=tuple(warnings),
    )


def _task_lengths(prompts: Counts, completions: Counts) -> TaskLengths:
    return TaskLengths(
        len(prompts),
        distribution(prompts + completions),
        distribution(prompts),
        distribution(completions),
    )
