"""The memory ladder: what a step that runs out of memory gives up, in order, until it fits.

    1  activations are recomputed in the backward pass           the same gradient, some 20 % slower
    2  the token budget of a cut is halved, down to one sample   the same gradient
    3  samples are shortened to 384 tokens, answers whole        another gradient for the samples concerned
    4  the base is loaded in 4 bits                              another gradient

The attempt that failed leaves nothing behind: its gradients are dropped before anything else is tried, the state of the
optimizer was allocated before the first step, and the step is done again with the same samples and the same random
numbers. The first time a step fails it is repeated as it was with an emptied cache, for memory may only have been
fragmented; then each failure climbs one rung. A rung stays for the rest of the run: it is an event, and part of every
checkpoint. What the recipe rules out (`gradient_checkpointing: never`, `quantization: none`) is not done. The ladder
has an end, so a step is never tried for ever: the run is saved and stops with advice.

Of several processes all climb when one must: a step runs out of memory in all of them or in none, and each finds the
same next rung. In a validation each helps itself, since cutting it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from lexitrain.errors import Stopped
from lexitrain.step import attempt, release_memory
from lexitrain.training.recovery.checkpoint_content import seed_step
from lexitrain.training.recovery.non_finite import GoBack

if TYPE_CHECKING:
    from lexitrain.batching.micro_batch import MicroBatch
    from lexitrain.recipe.schema import ModelSection
    from lexitrain.samples.sample import Sample
    from lexitrain.step import StepResult
    from lexitrain.training.loop import StepWork, Training

#: Longest sample from the third rung on, tokens.
SHORT = 384


class Rung(IntEnum):
    """The stages of the ladder."""

    RECOMPUTATION = 1
    SMALLER_CUTS = 2
    SHORTER_SAMPLES = 3
    FOUR_BIT_BASE = 4


_MEANS = {
    Rung.RECOMPUTATION: "activations are recomputed; the gradient stays the same, a step takes longer",
    Rung.SMALLER_CUTS: "a step is computed in smaller cuts; the gradient stays the same",
    Rung.SHORTER_SAMPLES: "the learner's text of long samples is shortened from now on: THE RESULT CHANGES",
    Rung.FOUR_BIT_BASE: "the base is loaded in 4 bits from now on: THE RESULT CHANGES",
}


class NeedsFourBitBase(GoBack):
    """The last rung: the base is to be loaded again. The weights and the optimizer are as after the last step."""


class OutOfRungs(Stopped):
    """Nothing is left that the ladder could give up. The weights and the optimizer are as after the last step."""


def fitting_gradients(training: Training, work: StepWork) -> StepResult:
    """The gradients of the step at hand, by whatever rung it takes.

    Raises:
        NeedsFourBitBase: to be answered by saving and building the run again.
        OutOfRungs: not even one sample at a time fits.
    """
    step, seed = training.standing.step, training.recipe.seed
    emptied = False
    while True:
        seed_step(seed, step, training.step.processes.rank)
        # It fails in all processes or in none.
        result, problem = attempt(partial(training.step.gradients, work.samples, work.batches))
        if result is not None:
            return result
        release_memory()
        if emptied:
            climb(training, work.samples, str(problem))
            work = training.work(step)
        else:
            training.event("out_of_memory", problem=problem, action="the cache was emptied")
            emptied = True


def fitting_loss(training: Training, samples: Sequence[Sample]) -> tuple[float, int]:
    """Sum of the token losses of validation samples and their tokens, in halves where all at once do not fit.

    Raises:
        OutOfRungs: not even one sample fits.
    """
    problem = None
    for _ in range(2):
        result, problem = attempt(partial(training.step.loss, samples))
        if result is not None:
            return result
        release_memory()
    if len(samples) == 1:
        raise _out_of_rungs(training, str(problem))
    middle = len(samples) // 2
    one, other = (fitting_loss(training, part) for part in (samples[:middle], samples[middle:]))
    return one[0] + other[0], one[1] + other[1]


def climb(training: Training, samples: Sequence[Sample], cause: str) -> None:
    """Climb the next rung that can help with these samples, write it down, and apply it.

    Args:
        samples: those of the step that does not fit.
        cause: what ran out, for the event.

    Raises:
        NeedsFourBitBase, OutOfRungs: see above.
    """
    standing, step = training.standing, training.step
    rung = _next_rung(training, samples)
    if rung is None:
        raise _out_of_rungs(training, cause)
    standing.rung = max(standing.rung, int(rung))
    details: dict[str, object] = {}
    if rung is Rung.SMALLER_CUTS:
        standing.token_budget = _smaller_budget(
            step.lay_out(samples), step.step_layout.token_budget
        )
        details["token_budget"] = standing.token_budget
    elif rung is Rung.SHORTER_SAMPLES:
        details["max_length"] = SHORT
    apply_rungs(training, details)
    training.event("rung", rung=int(rung), means=_MEANS[rung], cause=cause, **details)
    if rung is Rung.FOUR_BIT_BASE:
        raise NeedsFourBitBase


def apply_rungs(training: Training, details: dict[str, object] | None = None) -> None:
    """Bring a run to where its ladder stands; but for the base, which has to be loaded so.

    Args:
        details: receives how many samples were shortened, and how many could not be.
    """
    standing, step = training.standing, training.step
    if standing.rung >= Rung.RECOMPUTATION and _may_recompute(training):
        step.recompute()
    if standing.token_budget is not None:
        step.limit_cuts(standing.token_budget)
    if standing.rung >= Rung.SHORTER_SAMPLES and step.step_layout.max_length > SHORT:
        corpus = training.corpus
        train, shortened, left = training.shortener.shortened(corpus.train, SHORT)
        training.corpus = corpus.with_train(train)
        step.shorten_rows(SHORT)
        if details is not None:
            details |= {"shortened": shortened, "still_longer": left}


def base_on_rung(settings: ModelSection, rung: int) -> ModelSection:
    """How the base is loaded where the ladder stands."""
    if rung < Rung.FOUR_BIT_BASE:
        return settings
    return settings.model_copy(update={"quantization": "nf4"})


def _next_rung(training: Training, samples: Sequence[Sample]) -> Rung | None:
    step, model = training.step, training.recipe.model
    if not step.recomputes and _may_recompute(training):
        return Rung.RECOMPUTATION
    if _smaller_budget(step.lay_out(samples), step.step_layout.token_budget) is not None:
        return Rung.SMALLER_CUTS
    padded = step.settings.layout == "padded"
    if step.step_layout.max_length > SHORT and (padded or max(map(len, samples)) > SHORT):
        return Rung.SHORTER_SAMPLES
    four_bit = training.standing.rung >= Rung.FOUR_BIT_BASE or step.quantized
    if not four_bit and model.quantization == "auto" and find_spec("bitsandbytes") is not None:
        return Rung.FOUR_BIT_BASE
    return None


def _smaller_budget(batches: Sequence[MicroBatch], budget: int | None) -> int | None:
    """Half of the largest cut that holds several samples; None when every cut holds one."""
    several = [each.layout_tokens for each in batches if len(np.unique(each.sample)) > 1]
    if not several:
        return None
    return max(1, min(max(several), budget or max(several)) // 2)


def _may_recompute(training: Training) -> bool:
    return training.recipe.step.gradient_checkpointing != "never"


def _out_of_rungs(training: Training, cause: str) -> OutOfRungs:
    ruled_out = [
        each
        for each, is_so in (
            ("step.gradient_checkpointing=never", not _may_recompute(training)),
            ("model.quantization=none", training.recipe.model.quantization == "none"),
            ("no package bitsandbytes for a 4-bit base", find_spec("bitsandbytes") is None),
        )
        if is_so
    ]
    unused = f" Not tried: {', '.join(ruled_out)}." if ruled_out else ""
    return OutOfRungs(
        f"Step {training.standing.step + 1} does not fit in memory, one sample at a time and with everything given up "
        f"that may be ({cause}).{unused}",
        where=training.run.path,
        fix="What was trained is saved. Free memory, or take the run folder to a device with more, and give the same "
        "command: it goes on. Or start anew with a smaller base, data.max_length or lora.rank.",
    )
