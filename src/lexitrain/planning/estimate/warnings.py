"""What a plan warns of, and what it would change: short sentences that name the setting."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import number_of
from lexitrain.planning.devices.calibration import damaged_calibrations
from lexitrain.planning.devices.catalogue import ON_A_MAC
from lexitrain.planning.devices.processor import has_apple_gpu

if TYPE_CHECKING:
    from lexitrain.planning.estimate.plan import Plan

_FEW_SAMPLES, _MANY_EPOCHS = 10_000, 5


def warnings_of(plan: Plan, folder: Path) -> list[str]:
    """The warnings of a plan.

    Args:
        plan: what was foreseen.
        folder: where the run would be kept, for its free space.
    """
    return [
        *_memory(plan),
        *_waste(plan),
        *_data(plan),
        *_disk(plan, folder),
        *_unknown(plan),
        *_speed(plan),
        *_compilation(plan),
        *_calibration(plan),
    ]


def _memory(plan: Plan) -> list[str]:
    if plan.fits:
        return []
    need, has = plan.memory.device_total / 1e9, plan.memory_limit / 1e9
    parts = plan.memory.parts()
    largest = max(parts, key=lambda name: parts[name])
    advice = {
        "activations": "step.gradient_checkpointing=always or a smaller step.token_budget",
        "logits": "step.loss=completion and a smaller step.head_chunk",
        "weights": "model.quantization=nf4 or a smaller base",
        "graphs": "step.graphs=never or a smaller step.token_budget",
    }.get(largest, "a smaller lora.rank or optimizer.name=adamw_8bit")
    return [f"It needs {need:.2f} GB of {has:.2f} GB; most of it is {largest}. Try {advice}."]


def _waste(plan: Plan) -> list[str]:
    found: list[str] = []
    step = plan.recipe.step
    if step.layout == "padded":
        padding = 1 - plan.steps.real_tokens / plan.steps.layout_tokens
        if padding > 0.25:
            found.append(
                f"{padding:.0%} of the computed tokens are padding: step.layout=tree computes none."
            )
    if plan.fits and step.gradient_checkpointing == "always":
        found.append(
            "Activations are recomputed: step.gradient_checkpointing=auto does so only where it must."
        )
    if (
        plan.fits
        and plan.recipe.model.quantization == "nf4"
        and "model.quantization" not in plan.choices
    ):
        found.append("The base is in 4 bits: model.quantization=auto does so only where it must.")
    if plan.recipe.lora.dropout > 0:
        found.append(
            "lora.dropout above 0: cutting a step differently changes the result slightly."
        )
    return found


def _data(plan: Plan) -> list[str]:
    found = list(plan.data.warnings)
    if plan.data.skipped:
        found.append(
            f"{number_of(plan.data.skipped, 'record is', 'records are')} left out: longer than "
            f"data.max_length={plan.recipe.data.max_length}, or refused by the chat template."
        )
    samples, epochs = plan.steps.samples, plan.recipe.schedule.epochs
    if epochs >= _MANY_EPOCHS and samples < _FEW_SAMPLES:
        found.append(
            f"{number_of(samples, 'sample')}, {number_of(epochs, 'epoch')}: with fewer than {_FEW_SAMPLES:,} "
            "samples the validation loss often "
            f"stops falling within {_MANY_EPOCHS} epochs. schedule.early_stopping=3 ends there; the best adapter is "
            "kept either way. A rule of thumb, not a measurement."
        )
    if not plan.data.validation:
        found.append("There are no validation samples: the last adapter is kept, not the best.")
    if plan.gpu.is_cpu and has_apple_gpu():
        found.append(ON_A_MAC)
    return found


def _disk(plan: Plan, folder: Path) -> list[str]:
    found: list[str] = []
    places = [(folder, plan.disk.most)]
    mirror = plan.recipe.checkpoints.mirror
    if mirror and Path(mirror).is_dir():
        places.append((Path(mirror), plan.disk.mirror + plan.disk.each))
    for place, need in places:
        free = shutil.disk_usage(place).free
        if need > free:
            found.append(
                f"Checkpoints need up to {need / 1e9:.2f} GB in {place}, where {free / 1e9:.2f} GB are free: lower "
                "checkpoints.keep."
            )
    return found


def _calibration(plan: Plan) -> list[str]:
    if plan.calibration is not None:
        return []
    return [
        f"The measurement {path} is damaged or of another version and is not used: measure again with "
        "`lexitrain plan --calibrate`."
        for path in damaged_calibrations()
    ]


def _unknown(plan: Plan) -> list[str]:
    if plan.gpu.unknown == 1 or plan.calibration is not None:
        return []
    return [
        f"The speed of {plan.gpu.card} is not known: the catalogue does not have it, or it is a part of a card. All "
        f"work may take {plan.gpu.unknown:g} times longer or less. `lexitrain plan --calibrate` measures it."
    ]


def _speed(plan: Plan) -> list[str]:
    launches = plan.kinds.get("launches", 0.0)
    work = sum(each for kind, each in plan.kinds.items() if kind != "launches")
    if not plan.gpu.is_cpu and launches > work:
        return [
            f"Starting kernels takes longer than their work ({launches:.2f} s against {work:.2f} s a step): a "
            "faster GPU would gain little, larger steps or compilation would."
        ]
    return []


def _compilation(plan: Plan) -> list[str]:
    if plan.engine != "lexitrain" or plan.recipe.step.compile != "always":
        return []
    return [
        "step.compile=always is not counted: hours and memory are those of a step whose operators are not compiled."
    ]
