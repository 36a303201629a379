"""Whether the machine is used as it could be: GPU, precision, several GPUs, workers, memory. Not tried on a GPU: the
facts are given, and the judgements are tested with the facts of a T4 and others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lexitrain.diagnosis.check import Check, passed, warned
from lexitrain.errors import number_of
from lexitrain.models import compute_precision
from lexitrain.planning import ON_A_MAC

if TYPE_CHECKING:
    from lexitrain.diagnosis.machine_facts import MachineFacts
    from lexitrain.planning import Plan
    from lexitrain.recipe import Recipe

_CUDA_TORCH = "https://pytorch.org/get-started/locally"


def machine_checks(recipe: Recipe, facts: MachineFacts) -> Iterator[Check]:
    """The checks that need nothing but the machine's facts."""
    yield gpu_check(facts)
    yield precision_check(recipe, facts)
    yield several_gpus_check(facts)
    yield workers_check(recipe, facts)


def gpu_check(facts: MachineFacts) -> Check:
    """Whether the GPU that the driver lists is one that PyTorch can use."""
    if facts.gpus:
        shown = ", ".join(f"{each.name} ({each.total / 1e9:.1f} GB)" for each in facts.gpus)
        return passed("gpu", f"PyTorch {facts.torch} sees {shown}.")
    if facts.apple:
        return warned(
            "gpu",
            f"This Mac's GPU is not used: it trains on {facts.threads} processor thread(s).",
            ON_A_MAC,
            "Train the small recipes here (`demo`), and the others where there is an NVIDIA GPU.",
        )
    if not facts.driver_gpus:
        return passed(
            "gpu",
            f"There is no NVIDIA GPU: it trains on {number_of(facts.threads, 'processor thread')}.",
        )
    found = f"nvidia-smi lists {', '.join(facts.driver_gpus)}, and PyTorch {facts.torch} sees none"
    why = "It would train on the processor, tens of times slower."
    if facts.torch_cuda is None:
        return warned(
            "gpu",
            f"{found}: this build of PyTorch has no CUDA.",
            why,
            f"Install a build with CUDA in its place: {_CUDA_TORCH}",
        )
    return warned(
        "gpu",
        f"{found}: it was built for CUDA {facts.torch_cuda}, and the driver is {facts.driver}.",
        why,
        f"Renew the driver, or install a PyTorch for its CUDA ({_CUDA_TORCH}); CUDA_VISIBLE_DEVICES may hide the GPU "
        "as well.",
    )


def precision_check(recipe: Recipe, facts: MachineFacts) -> Check:
    """Whether the device computes in the recipe's precision, or only emulates it."""
    asked, gpu = recipe.model.precision, facts.gpus[0] if facts.gpus else None
    best = compute_precision("auto", gpu and gpu.capability)
    taken = compute_precision(asked, gpu and gpu.capability)
    device = (
        "the processor"
        if gpu is None
        else f"{gpu.name} (compute capability {_version(gpu.capability)})"
    )
    if gpu is None and taken != "fp32":
        return warned(
            "precision",
            f"model.precision is {taken} on the processor.",
            "Most processors compute it slower than fp32.",
            "Set model.precision=auto: it takes fp32 here.",
        )
    if taken == "bf16" and best != "bf16":
        return warned(
            "precision",
            f"model.precision is bf16, which {device} only emulates.",
            "Emulated bf16 costs more time than it saves; PyTorch does not say so.",
            f"Set model.precision=auto: it takes {best} here.",
        )
    if taken == "fp32" and gpu is not None:
        return warned(
            "precision",
            f"model.precision is fp32 on {device}.",
            "Matrix products take several times as long as in half precision, and weights twice the memory.",
            f"Set model.precision=auto: it takes {best} here.",
        )
    return passed("precision", f"{taken} on {device}.")


def several_gpus_check(facts: MachineFacts) -> Check:
    """Whether there are GPUs that nobody uses, as on Kaggle's machines with two T4."""
    count = len(facts.gpus)
    if count <= max(1, facts.processes):
        used = number_of(facts.processes, "process", "processes")
        return passed("processes", f"{used}, {number_of(count, 'GPU') if count else 'no GPU'}.")
    return warned(
        "processes",
        f"There are {count} GPUs, and {facts.processes} of them would be used.",
        "A step is shared by any number of processes, with the gradient of one.",
        # Without the two hyphens torchrun takes --run for one of its own options.
        f"Start it with `torchrun --nproc-per-node {count} -m lexitrain -- train …`.",
    )


def workers_check(recipe: Recipe, facts: MachineFacts) -> Check:
    """Whether the workers that lay out steps are neither too few nor too many."""
    workers = recipe.data.workers
    found = f"data.workers is {workers}, and this process may use {number_of(facts.cores, 'processor core')}"
    if not workers and facts.gpus:
        why = "The GPU waits while each step is laid out."
        return warned("workers", f"{found}.", why, "Set data.workers=2.")
    if workers > max(2, facts.cores):
        why = "More threads than cores take them from each other, and two keep ahead of any GPU."
        return warned("workers", f"{found}.", why, "Set data.workers=2.")
    return passed("workers", f"{found}.")


def memory_check(plan: Plan) -> Check:
    """Whether the plan fits in the memory that is free."""
    need, free = plan.memory.device_total / 1e9, plan.memory_limit / 1e9
    found = f"The plan needs {need:.2f} GB, and {free:.2f} GB are free on {plan.gpu.name}."
    if plan.fits:
        return passed("memory", found)
    return warned(
        "memory",
        found,
        "Steps that do not fit are done again with recomputation, then in smaller cuts, and at last with shortened "
        "samples or a 4-bit base, which changes the result.",
        "Close what else holds memory there, or see `lexitrain plan --memory`.",
    )


def _version(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
