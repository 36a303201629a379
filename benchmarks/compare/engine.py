"""LexiTrain's own step as a competitor, cut as a run cuts it, and laid out in the step's own time (a run lays steps out
ahead). What a GPU compiles or records for a form of cut is done before the first turn, and told."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.compare.competitors import Competitor
from benchmarks.compare.turns import Turns
from benchmarks.compare.work import SHAPES, Work
from benchmarks.device_cuts import planned_here
from benchmarks.timing import prepare
from benchmarks.workload import PAD, SEED
from lexitrain.models import attach_adapter, load_base
from lexitrain.recipe.schema import Recipe
from lexitrain.step import TrainingStep, build_optimizer, keep_freed_memory


def run(competitor: Competitor, work: Work, turns: Turns) -> None:
    """Train until told to stop."""
    recipe = work.recipe(competitor)
    if work.device == "cpu":
        keep_freed_memory()
    model = attach_adapter(_base(recipe, work), recipe.lora, SEED)
    step = TrainingStep(
        model,
        build_optimizer(model.named_parameters(), recipe.optimizer),
        recipe.step,
        max_length=recipe.data.max_length + work.prompt,
        pad_id=PAD,
        clip=recipe.optimizer.clip,
        cut_cost=planned_here(SHAPES[work.shape].architecture(), recipe, work.device),
    )
    laid = [step.lay_out(work.samples_of(number, competitor)) for number in range(work.steps)]
    turns.facts = {"attention": step.attention, **prepare(step, laid), "cuts": []}
    _tell_of_forms(step, turns)
    for number in range(work.steps):
        if not turns.begin():
            return
        samples = work.samples_of(number, competitor)
        found = step.gradients(samples)
        step.update(work.rate(number, recipe))
        turns.facts["cuts"].append(found.cuts)
        _tell_of_forms(step, turns)
        turns.end(
            loss=found.loss,
            samples=len(samples),
            supervised=found.supervised_tokens,
            tokens=found.layout_tokens,
        )


def _tell_of_forms(step: TrainingStep, turns: Turns) -> None:
    """How many forms are recorded, and what was told of what cannot be recorded or compiled."""
    if step.graphs is not None:
        turns.facts["recorded_forms"] = step.graphs.recorded
    turns.facts["told"] = list(step.notes)


def _base(recipe: Recipe, work: Work) -> Any:
    base = work.base()
    if recipe.model.quantization != "nf4":
        return base
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(folder)
        settings = recipe.model.model_copy(update={"base": str(Path(folder))})
        return load_base(settings, device=torch.device(work.device), dtype=work.dtype)
