"""A short profile of a run on this machine: some of its real steps, as it has taken them and with settings changed.

The same steps are taken in turns with and without each change, so that other work on the machine disturbs both alike;
what counts is the median of their ratios. What a step waited for a processor is taken off. The weights are those of a
new adapter: how long a step takes does not depend on what was learnt. Costs the loading of the base and some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.batching import SampleOrder
from lexitrain.errors import InputError, number_of
from lexitrain.models import compute_precision, load_tokenizer
from lexitrain.samples import load_samples
from lexitrain.step import TrainingStep, release_memory
from lexitrain.storage import ProcessorTime
from lexitrain.tasks import registry
from lexitrain.training import built_step

if TYPE_CHECKING:
    from lexitrain.batching import MicroBatch
    from lexitrain.diagnosis.machine_facts import MachineFacts
    from lexitrain.diagnosis.slowness.recorded import Recorded
    from lexitrain.recipe import Recipe
    from lexitrain.samples import Sample
    from lexitrain.training import Observer

_SECONDS = 20.0
"""How long all steps of a profile may take; the one at hand is ended."""
_FEWEST, _MOST = 3, 12
_TINY_RATE = 1e-12

Take = Callable[[Sequence["Sample"], Sequence["MicroBatch"]], None]


@dataclass(frozen=True)
class Profile:
    """What was measured.

    Attributes:
        step_seconds: of a mean step of the run, with nothing beside it.
        ratios: change -> how long a step takes with it, against without.
        why_not: why nothing was measured; empty where it was.
    """

    step_seconds: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict[str, float])
    why_not: str = ""


def profiled(recorded: Recorded, facts: MachineFacts, told: Observer) -> Profile:
    """Measure where that can be done: the run does not train at present, and its device, base and data are here.

    Args:
        recorded: the run.
        facts: of this machine.
        told: what is being done.
    """
    try:
        why_not = _hindrance(recorded, facts)
        if why_not:
            return Profile(why_not=why_not)
        told.stage("loading the model for a short profile")
        return _measured(recorded, facts, told)
    except InputError as error:
        return Profile(why_not=error.what)


def _hindrance(recorded: Recorded, facts: MachineFacts) -> str:
    if recorded.run.is_locked():
        return "the run trains at present, and would be disturbed"
    device, here = recorded.device, facts.gpus[0].name if facts.gpus else "cpu"
    if device.partition(",")[0] != here:
        return (
            f"the run was trained on {device or 'an unknown device'}, and this machine has {here}"
        )
    if recorded.cores != facts.all_cores:
        return f"the run was trained with {recorded.cores} cores, and here are {facts.all_cores}"
    if recorded.recipe.data.custom_tasks:
        return "its recipe names tasks of its own, which are code"
    if not Path(recorded.run.read_data().folder).is_dir():
        return "its data are not here"
    return ""


def _measured(recorded: Recorded, facts: MachineFacts, told: Observer) -> Profile:
    recipe, run = recorded.recipe, recorded.run
    tokenizer: Any = load_tokenizer(recipe.model.base, recipe.model.revision)
    tasks = registry((), recipe.data.system)
    samples = load_samples(run, Path(run.read_data().folder), recipe, tasks, tokenizer).train
    order = SampleOrder(
        samples.tasks,
        recipe.seed,
        recipe.step.effective_batch,
        recipe.schedule.epochs,
        recipe.data.task_weights,
    )
    pad_id = tokenizer.pad_token_id
    step = built_step(recipe, recipe.model, pad_id, cut_cost=recorded.cut_cost)
    changed = _changed(recorded, facts, step, pad_id)
    asked = _SECONDS / recorded.step_seconds / (2 * len(changed) + 1)
    count = min(order.total_steps, max(_FEWEST, min(_MOST, int(asked))))
    work = [
        [samples[index] for index in order.samples(number * order.total_steps // count)]
        for number in range(count)
    ]
    threads = torch.get_num_threads()
    as_it_was = _Way(step, recorded.threads or threads)
    told.stage(f"taking {number_of(count, 'step')} of the run")
    try:
        return _compared(as_it_was, changed, work, recorded.step_tokens)
    finally:
        torch.set_num_threads(threads)
        release_memory()


@dataclass(frozen=True, slots=True)
class _Way:
    """A way of taking a step.

    Attributes:
        step: of a model.
        threads: to compute with.
    """

    step: TrainingStep
    threads: int

    def take(self, samples: Sequence[Sample]) -> tuple[float, int]:
        """Seconds of one step, what it waited for a processor taken off, and its layout tokens."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        batches = self.step.lay_out(samples)
        start, processor = perf_counter(), ProcessorTime.now()
        result = self.step.gradients(samples, batches)
        self.step.update(_TINY_RATE)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds, waited = perf_counter() - start, processor.since()[1]
        return max(1e-9, seconds - (waited or 0.0)), result.layout_tokens


def _compared(
    as_it_was: _Way, changed: Mapping[str, _Way], work: Sequence[Sequence[Sample]], tokens: float
) -> Profile:
    """Take all steps in all ways, twice each; of the two the faster one counts."""
    for way in (as_it_was, *changed.values()):
        way.take(work[0])  # the first one allocates, and a GPU chooses its kernels
    seconds, computed, begin = 0.0, 0, perf_counter()
    ratios: dict[str, list[float]] = {name: [] for name in changed}
    for samples in work:
        if computed and perf_counter() - begin > _SECONDS:
            break  # beside other work all of it may take many times as long
        taken = {name: [way.take(samples)] for name, way in {"": as_it_was, **changed}.items()}
        for name, way in {**changed, "": as_it_was}.items():
            taken[name].append(way.take(samples))
        least = {name: min(each)[0] for name, each in taken.items()}
        seconds += least[""]
        computed += taken[""][0][1]
        for name, each in ratios.items():
            each.append(least[name] / least[""])
    return Profile(
        step_seconds=seconds / computed * tokens,
        ratios={name: median(each) for name, each in ratios.items()},
    )


def _changed(
    recorded: Recorded, facts: MachineFacts, step: TrainingStep, pad_id: int
) -> dict[str, _Way]:
    """The settings that may have made the run slow, mended; each change alone."""
    recipe, found = recorded.recipe, dict[str, _Way]()
    threads = recorded.threads or torch.get_num_threads()
    if not facts.gpus and threads < facts.cores:
        found["threads"] = _Way(step, facts.cores)
    if recipe.step.layout != "tree" and recipe.step.loss == "completion":
        layout = recipe.step.model_copy(update={"layout": "tree"})
        with suppress(InputError):  # a base that has to be padded
            other = TrainingStep(
                step.model,
                step.optimizer,
                layout,
                max_length=recipe.data.max_length,
                pad_id=pad_id,
                clip=recipe.optimizer.clip,
                cut_cost=recorded.cut_cost,
            )
            found["layout"] = _Way(other, threads)
    if mended := _other_precision(recorded, facts):
        found["precision"] = _Way(built_step(mended, mended.model, pad_id), threads)
    return found


def _other_precision(recorded: Recorded, facts: MachineFacts) -> Recipe | None:
    """The recipe with a precision that is not emulated; None where it is not."""
    recipe = recorded.recipe
    if not emulated(recorded, facts):
        return None
    model = recipe.model.model_copy(update={"precision": "auto"})
    return recipe.model_copy(update={"model": model})


def emulated(recorded: Recorded, facts: MachineFacts) -> bool:
    """Whether the run computed in a precision that its device has no units for: bf16 before Ampere, and on most
    processors bf16 or fp16."""
    if recorded.on_cpu:
        return recorded.dtype in {"bfloat16", "float16"}
    capability = facts.gpus[0].capability if facts.gpus else None
    return (
        recorded.dtype == "bfloat16" and capability is not None and not _computes_bf16(capability)
    )


def _computes_bf16(capability: tuple[int, int]) -> bool:
    return compute_precision("auto", capability) == "bf16"
