"""The plan of a run, made before it begins: what it will cost, and the settings that its recipe leaves to the memory.

`quantization`, `gradient_checkpointing` and the cuts stand on `auto` so that memory is spent where it buys time: no
4-bit base and no recomputation unless the rehearsed step would not fit. What was decided is in plan.json, and a run
that goes on reads it there: another device, or one with less free memory, must not change which weights come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import InputError, RunError
from lexitrain.planning import (
    Plan,
    PlannedData,
    Target,
    device_at_hand,
    free_memory,
    make_plan,
    overhead_bytes,
    planned_cut_cost,
    with_settings,
)

if TYPE_CHECKING:
    from lexitrain.batching import CutCost
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Run
    from lexitrain.samples import RunSamples


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    Attributes:
        recipe: with the automatic settings decided; `auto` is left where it means no limit.
        document: content of plan.json.
    """

    recipe: Recipe
    document: Mapping[str, Any]

    @property
    def cut_cost(self) -> CutCost | None:
        """What a cut costs on the device that the run was planned for; None: not foreseen."""
        return planned_cut_cost(self.document)

    def summary(self) -> dict[str, Any]:
        """What the event `planned` says; empty choices mean that nothing had to be given up."""
        keys = ("choices", "fits", "gpu", "basis", "memory_gb", "hours", "not_foreseen")
        return {key: self.document[key] for key in keys if key in self.document}

    def beside(self, steps: int, seconds: float, peak_gb: float) -> dict[str, dict[str, float]]:
        """What was predicted beside what was measured, as far as both are known.

        Args:
            steps: optimizer steps that were timed.
            seconds: that they took.
            peak_gb: peak of the GPU's allocator. On a CPU there is no such measure: the process holds libraries, data
                and freed memory besides, so the peak of the tensors that was predicted is not compared with it.
        """
        if not steps or "step_seconds" not in self.document:
            return {}
        predicted = float(self.document["step_seconds"])
        memory = self.document["memory_gb"]
        # What the allocator counts is in use; of a pool of graphs nothing is, between two replays.
        in_use = float(memory["peak"]) - float(memory.get("graphs", 0.0))
        pairs = {"peak_gb": (in_use, peak_gb)}
        if not torch.cuda.is_available():
            pairs = {}
        pairs |= {
            "step_seconds": (predicted, seconds / steps),
            "hours": (predicted * steps / 3600, seconds / 3600),
        }
        return {
            name: {"predicted": float(f"{before:.4g}"), "measured": float(f"{after:.4g}")}
            for name, (before, after) in pairs.items()
        }


def plan_run(
    run: Run,
    recipe: Recipe,
    samples: RunSamples,
    device: torch.device,
    *,
    processes: int,
    goes_on: bool,
) -> RunPlan:
    """The plan of a run: that of its folder where it goes on, else a new one. Writes nothing.

    Args:
        run: its folder.
        recipe: as the user gave it.
        samples: its samples.
        device: what it is trained on.
        processes: that share the machine's memory where there is no GPU.
        goes_on: whether there is a checkpoint to go on from.

    Raises:
        RunError: the folder's plan is not as this package writes one.
    """
    if run.plan_file.is_file():
        return _plan_of_before(run, recipe)
    if goes_on:  # begun by a version that did not plan
        return RunPlan(recipe, {"choices": {}})
    limit, source = _limit(recipe, device, processes)
    try:
        plan = _planned(recipe, samples, device, limit)
    except InputError as error:  # a base that trains but cannot be rehearsed
        return RunPlan(recipe, {"choices": {}, "not_foreseen": str(error)})
    document = {**plan.to_json(), "memory_limit_from": source}
    return RunPlan(plan.recipe, document)


def _plan_of_before(run: Run, recipe: Recipe) -> RunPlan:
    document = run.read_plan()
    try:
        plan = RunPlan(with_settings(recipe, document.get("choices", {})), document)
        plan.beside(1, 1.0, 1.0)  # reads the numbers that are used at the end
        planned_cut_cost(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"This is not the plan of a run: {type(error).__name__}.",
            where=run.plan_file,
            fix="Put the file back as it was: the run goes on with the settings that it chose.",
        ) from error
    return plan


def _planned(recipe: Recipe, samples: RunSamples, device: torch.device, limit: float) -> Plan:
    if find_spec("bitsandbytes") is None and recipe.model.quantization == "auto":
        recipe = with_settings(recipe, {"model.quantization": "none"})
    data = PlannedData(
        train=samples.train,
        validation=samples.validation,
        source=samples.summary.folder,
        exact=True,
        key=samples.summary.rendered_sha256,
        skipped=samples.summary.skipped.get("train", 0),
    )
    return make_plan(recipe, device_at_hand(device), lambda _: data, memory_limit=limit)


def _limit(recipe: Recipe, device: torch.device, processes: int) -> tuple[float, str]:
    """Bytes that this process may use, and where the number comes from."""
    if recipe.step.memory_limit is not None:
        return 1e9 * recipe.step.memory_limit, "step.memory_limit"
    free = free_memory(device)
    if device.type == "cuda":
        # The context is there already; a plan counts it as something still to come.
        capability = torch.cuda.get_device_capability(device)
        target = Target.of(recipe.model.precision, capability)
        return float(free + overhead_bytes(target)), "free memory of the GPU"
    return free / processes, "available memory of the machine"
