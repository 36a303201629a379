"""The validation loss: of all validation samples, and of each task's.

Samples are measured task by task, as many together as a step has: samples of one task begin alike, so that costs no
more than any other order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexitrain.batching import fixed_subset

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.samples import Sample
    from lexitrain.step import Processes
    from lexitrain.training.recovery.memory_ladder import MemoryLadder
    from lexitrain.training.stopping import Interrupt


@dataclass(frozen=True, slots=True)
class ValidationLoss:
    """Mean loss of a supervised token, nats; NaN or infinite where that of a sample is.

    Attributes:
        loss: over all tokens.
        by_task: over those of each task, by short name.
    """

    loss: float
    by_task: Mapping[str, float]


def measured_loss(
    samples: Sequence[Sample],
    recipe: Recipe,
    ladder: MemoryLadder,
    processes: Processes,
    interrupt: Interrupt,
) -> ValidationLoss | None:
    """The loss of the validation samples; None: there are none, or a signal came in between."""
    chosen = fixed_subset(len(samples), recipe.validation.limit, recipe.seed)
    by_task: dict[str, list[int]] = {}
    for index in chosen:
        by_task.setdefault(samples[index].task, []).append(int(index))
    names = sorted(by_task)
    losses, tokens = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    parts = list(_parts(by_task, names, recipe.step.effective_batch))
    for task, part in parts[processes.rank :: processes.count]:
        if interrupt.noted:
            break
        loss, supervised = ladder.loss([samples[index] for index in part])
        losses[task] += loss
        tokens[task] += supervised
    if interrupt.agree(processes):
        return None
    sums = processes.sums([*losses.values(), *tokens.values()])
    of_task = dict(
        zip(names, zip(sums[: len(names)], sums[len(names) :], strict=True), strict=True)
    )
    total = sum(tokens for _, tokens in of_task.values())
    if not total:
        return None
    return ValidationLoss(
        sum(loss for loss, _ in of_task.values()) / total,
        {task: loss / tokens for task, (loss, tokens) in of_task.items() if tokens},
    )


def _parts(
    by_task: Mapping[str, Sequence[int]], names: Sequence[str], size: int
) -> Iterator[tuple[str, Sequence[int]]]:
    for task in names:
        for start in range(0, len(by_task[task]), size):
            yield task, by_task[task][start : start + size]
