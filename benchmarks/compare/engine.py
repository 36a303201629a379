"""LexiTrain's own step as a competitor, laid out in the step's own time (a run lays steps out ahead)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.compare.competitors import Competitor
from benchmarks.compare.turns import Turns
from benchmarks.compare.work import Work
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
    )
    for number in range(work.steps):
        if not turns.begin():
            return
        samples = work.samples_of(number, competitor)
        found = step.gradients(samples)
        step.update(work.rate(number, recipe))
        turns.end(
            loss=found.loss,
            samples=len(samples),
            supervised=found.supervised_tokens,
            tokens=found.layout_tokens,
        )


def _base(recipe: Recipe, work: Work) -> Any:
    base = work.base()
    if recipe.model.quantization != "nf4":
        return base
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(folder)
        settings = recipe.model.model_copy(update={"base": str(Path(folder))})
        return load_base(settings, device=torch.device(work.device), dtype=work.dtype)
