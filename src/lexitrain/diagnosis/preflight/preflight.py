"""All checks of a run that has not begun: machine, packages, places, data, model. Nothing is trained or written.

What is refused here is refused by `train` too, which asks the same functions before the first step of a new run; the
facts themselves are owned by the rooms that those are in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.diagnosis.check import Check, passed, refused, warned
from lexitrain.diagnosis.machine_facts import MachineFacts
from lexitrain.diagnosis.preflight.data_checks import read_records, record_checks, sample_checks
from lexitrain.diagnosis.preflight.machine_checks import machine_checks, memory_check
from lexitrain.diagnosis.preflight.model_checks import model_check
from lexitrain.diagnosis.preflight.package_checks import package_checks
from lexitrain.diagnosis.preflight.place_checks import disk_checks, place_checks
from lexitrain.errors import InputError
from lexitrain.models import load_tokenizer
from lexitrain.planning import Planner, device_at_hand, free_memory
from lexitrain.runs import Run
from lexitrain.samples import Renderer, load_samples
from lexitrain.step import Processes
from lexitrain.storage import user_path
from lexitrain.tasks import registry
from lexitrain.training import Silent, with_mirror

if TYPE_CHECKING:
    from lexitrain.planning import Plan
    from lexitrain.recipe import Recipe
    from lexitrain.samples import RunSamples
    from lexitrain.training import Observer


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found before a run.

    Attributes:
        recipe: name of the recipe.
        checks: in the order in which they were made.
    """

    recipe: str
    checks: tuple[Check, ...]

    @property
    def refused(self) -> tuple[Check, ...]:
        """What `train` would refuse."""
        return tuple(each for each in self.checks if each.verdict == "refuse")

    def to_json(self) -> dict[str, Any]:
        """As the JSON document of `lexitrain doctor --json`."""
        verdicts = [each.verdict for each in self.checks]
        return {
            "recipe": self.recipe,
            **{name: verdicts.count(name) for name in ("ok", "warn", "refuse")},
            "checks": [each.to_json() for each in self.checks],
        }


def preflight(
    recipe: Recipe,
    data: str | Path | None = None,
    run_folder: str | Path = "runs/new",
    *,
    mirror: str | Path | None = None,
    facts: MachineFacts | None = None,
    observer: Observer | None = None,
) -> Preflight:
    """Look at everything that can be wrong with a run before it begins.

    Args:
        recipe: what would be trained.
        data: folder that `data prepare` wrote. None: records and model are not looked at, and the plan is that of the
            benchmark mixture.
        run_folder: where the run would be kept.
        mirror: folder for its copies, instead of the recipe's `checkpoints.mirror`.
        facts: of the machine; None: of this one.
        observer: is told what is being looked at.
    """
    told = observer or Silent()
    told.stage("looking at the machine")
    known = facts or MachineFacts.here()
    run = Run(run_folder)
    recipe = with_mirror(recipe, run, mirror)
    device = Processes().device()
    checks = [
        *machine_checks(recipe, known),
        *package_checks(recipe, device),
        *place_checks(recipe, run, known.notebook),
    ]
    folder = None if data is None else user_path(data)
    told.stage("planning")
    plan, planned = _planned(recipe, folder, device)
    checks += planned
    if plan is not None:
        checks.append(memory_check(plan))
        checks += disk_checks(plan, run, recipe.checkpoints.mirror_folder)
    if folder is not None:
        checks += _of_data(recipe if plan is None else plan.recipe, folder, run, told)
    return Preflight(recipe.name, tuple(checks))


def _planned(
    recipe: Recipe, folder: Path | None, device: torch.device
) -> tuple[Plan | None, list[Check]]:
    gpu = device_at_hand(device)
    try:
        memory = recipe.step.memory_limit or free_memory(device) / 1e9
        planner = Planner(gpu, data=folder, memory_gb=memory)
        plan = planner.plan(recipe)
    except InputError as error:
        why = "Memory and disk are not foreseen."
        return None, [warned("plan", str(error.what), why, error.fix or "")]
    hours = plan.hours
    return plan, [
        passed(
            "plan", f"{hours.expected:.2g} h ({hours.low:.2g} to {hours.high:.2g}) on {gpu.name}."
        )
    ]


def _of_data(recipe: Recipe, folder: Path, run: Run, told: Observer) -> Iterator[Check]:
    """Tokenizer, records, samples, model; what cannot be had ends it."""
    try:
        told.stage("reading the data")
        tasks = registry(recipe.data.custom_tasks, recipe.data.system)
        yield from record_checks(read_records(folder, tasks, recipe.data.tasks))
        told.stage("tokenizing")
        tokenizer: Any = load_tokenizer(recipe.model.base, recipe.model.revision)
        samples: RunSamples = load_samples(run, folder, recipe, tasks, tokenizer)
        stop_ids = Renderer(tokenizer, tasks, recipe.data.max_length).stop_ids
    except InputError as error:
        yield refused("data", error, "`train` refuses it before anything is written.")
        return
    yield from sample_checks(samples, tokenizer, stop_ids)
    told.stage("loading the model")
    yield model_check(recipe, samples.train, tokenizer)
