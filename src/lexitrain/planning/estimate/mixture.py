"""How long samples are, for a plan that has no data yet.

The package holds the lengths of the benchmark mixture (`mixture_lengths.json`, made by benchmarks/length_profile.py):
for each task how often a prompt of P tokens goes with a completion of C, and how many tokens the prompts of one task,
and of all tasks, have in common. From them samples are made whose tokens mean nothing, but which a step lays out as it
would the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import TaskError
from lexitrain.samples import Sample

PROFILE = Path(str(files("lexitrain.planning.estimate").joinpath("mixture_lengths.json")))
MIXTURE_SAMPLES = 18_400
"""Training samples that the team's notebook assumed."""


def profile_samples(count: int, *, max_length: int, tasks: Sequence[str] = ()) -> list[Sample]:
    """`count` samples with the mixture's lengths, tasks in the mixture's proportion.

    Args:
        count: how many records; those that do not fit `max_length` are left out, as in training.
        max_length: the longest sample, in tokens; a longer one loses text of its prompt.
        tasks: the tasks to take; all if empty.

    Raises:
        TaskError: the mixture has none of these tasks.
    """
    content = _profile()
    chosen = [task for task in content["tasks"] if not tasks or task in tasks]
    if not chosen:
        raise TaskError(
            f"The benchmark mixture has no task {', '.join(tasks)}.",
            where="data.tasks",
            fix=f"Give --data, or take some of {', '.join(content['tasks'])}.",
        )
    table = np.concatenate([_rows(content["tasks"][task], n) for n, task in enumerate(chosen)])
    # Evenly spread over the sorted table: any count has the mixture's proportions, to one sample.
    ends = np.cumsum(table[:, 3])
    places = (np.arange(count) + 0.5) / count * ends[-1]
    rows = table[np.searchsorted(ends, places)]
    samples = [
        _sample(index, chosen[row[2]], int(row[2]), row, content, max_length)
        for index, row in enumerate(rows)
    ]
    return [sample for sample in samples if sample is not None]


def estimated_ids(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The nano base's tokens grouped so that there are about as many as Qwen's vocabulary needs for the same text.

    Equal beginnings stay equal, so that a layout shares them as it would the real ones.
    """
    per_token = float(_profile()["nano_tokens_per_token"])
    groups = (np.arange(len(ids)) / per_token).astype(np.int64)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    mixed = np.add.reduceat(ids.astype(np.int64) * (1 + np.arange(len(ids)) % 7919), starts)
    return (mixed % (2**31 - 1)).astype(np.int32)


@cache
def _profile() -> dict[str, Any]:
    return json.loads(PROFILE.read_text(encoding="utf-8"))


def _rows(task: Mapping[str, Any], number: int) -> NDArray[np.int64]:
    """[pairs, 4]: prompt, completion, number of the task, how often."""
    numbers = [number] * len(task["counts"])
    return np.array([task["prompts"], task["completions"], numbers, task["counts"]]).T


def _sample(
    index: int,
    task: str,
    number: int,
    row: NDArray[np.int64],
    content: Mapping[str, Any],
    max_length: int,
) -> Sample | None:
    """A sample of these lengths; None where the answer and the shared prompt alone are too long."""
    prompt, completion = int(row[0]), int(row[1])
    shared = int(content["tasks"][task]["shared"])
    cut = max(0, prompt + completion - max_length)
    if prompt - cut <= shared:
        return None
    return made_sample(
        index,
        task,
        prompt - cut,
        completion,
        common=int(content["shared_by_all"]),
        shared=shared,
        number=number,
        truncated=cut > 0,
    )


def made_sample(
    index: int,
    task: str,
    prompt: int,
    completion: int,
    *,
    common: int,
    shared: int,
    number: int,
    truncated: bool = False,
) -> Sample:
    """A sample without meaning: `common` tokens as in every prompt, then up to `shared` as in every prompt of its task,
    then tokens of its own.
    """
    ids = np.full(prompt, 3 + index + 1_000, dtype=np.int32)
    ids[:shared] = 3 + number
    ids[:common] = 1
    return Sample(
        prompt_ids=ids,
        completion_ids=np.full(completion, 2, dtype=np.int32),
        supervised=np.ones(completion, dtype=np.bool_),
        task=task,
        index=index,
        truncated=truncated,
    )
