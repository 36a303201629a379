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
same next rung. In a validation each process cuts its own batch smaller, since that changes no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from lexitrain.errors import Stopped
from lexitrain.step import attempt, release_memory, seed_step
from lexitrain.training.recovery.state import ReturnToCheckpoint

if TYPE_CHECKING:
    from lexitrain.recipe import ModelSection, Recipe
    from lexitrain.samples import Sample
    from lexitrain.step import StepResult, TrainingStep
    from lexitrain.training.event_log import EventLog
    from lexitrain.training.recovery.shortening import Shortener
    from lexitrain.training.recovery.state import TrainingState
    from lexitrain.training.step_work import StepSource, StepWork

SHORT = 384
"""Longest sample from the third rung on, tokens: that of the shipped recipe `fastest`."""


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


class NeedsFourBitBase(ReturnToCheckpoint):
    """The last rung: the base is to be loaded again. The weights and the optimizer are as after the last step."""


class OutOfRungs(Stopped):
    """Nothing is left that the ladder could give up. The weights and the optimizer are as after the last step."""


class MemoryLadder:
    """The ladder of one run.

    Args:
        recipe: says what may not be given up, and the seed.
        state: holds where the ladder stands.
        step: what runs out of memory; recomputes and cuts as the ladder stands.
        source: the samples, which the third rung replaces by shorter ones.
        shortener: makes those.
        log: gets an event for each rung.
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState,
        step: TrainingStep,
        source: StepSource,
        shortener: Shortener,
        log: EventLog,
    ) -> None:
        self._seed = recipe.seed
        self._quantization = recipe.model.quantization
        self._may_recompute = recipe.step.gradient_checkpointing != "never"
        self._state = state
        self._step = step
        self._source = source
        self._shortener = shortener
        self._log = log

    def gradients(self, work: StepWork) -> StepResult:
        """The gradients of the step at hand, by whatever rung it takes.

        Raises:
            NeedsFourBitBase: to be answered by saving and building the run again.
            OutOfRungs: not even one sample at a time fits.
        """
        number = self._state.step
        emptied = False
        while True:
            # Each attempt draws the same random numbers (dropout), whatever the failed one has drawn.
            seed_step(self._seed, number, self._step.processes.rank)
            # It fails in all processes or in none.
            result, problem = attempt(partial(self._step.gradients, work.samples, work.batches))
            if result is not None:
                return result
            release_memory()
            if emptied:
                self.climb(work.samples, str(problem))
                work = self._source.work(number)
            else:
                self._log.write("out_of_memory", problem=problem, action="the cache was emptied")
                emptied = True

    def loss(self, samples: Sequence[Sample]) -> tuple[float, int]:
        """Sum of the token losses of validation samples and their tokens, in halves where all at once do not fit.

        Raises:
            OutOfRungs: not even one sample fits.
        """
        problem = None
        for _ in range(2):
            result, problem = attempt(partial(self._step.loss, samples))
            if result is not None:
                return result
            self._step.drop_graphs("memory ran out in a validation, and they hold some")
            release_memory()
        if len(samples) == 1:
            raise self._out_of_rungs(str(problem))
        middle = len(samples) // 2
        one, other = (self.loss(part) for part in (samples[:middle], samples[middle:]))
        return one[0] + other[0], one[1] + other[1]

    def climb(self, samples: Sequence[Sample], cause: str) -> None:
        """Climb the next rung that can help with these samples, apply it, and write it down.

        Args:
            samples: those of the step that does not fit.
            cause: what ran out, for the event.

        Raises:
            NeedsFourBitBase, OutOfRungs: see above.
        """
        rung = self._next_rung(samples)
        if rung is None:
            raise self._out_of_rungs(cause)
        self._state.rung = max(self._state.rung, int(rung))
        details: dict[str, object] = {}
        if rung is Rung.SMALLER_CUTS:
            details["token_budget"] = self._state.token_budget = self._smaller_budget(samples)
        elif rung is Rung.SHORTER_SAMPLES:
            details["max_length"] = SHORT
        self.apply(details)
        self._log.write("rung", rung=int(rung), means=_MEANS[rung], cause=cause, **details)
        if rung is Rung.FOUR_BIT_BASE:
            raise NeedsFourBitBase

    def apply(self, details: dict[str, object] | None = None) -> None:
        """Bring step and samples to where the ladder stands; but for the base, which has to be loaded so.

        Args:
            details: receives how many samples were shortened, and how many could not be.
        """
        state, step = self._state, self._step
        if state.rung >= Rung.RECOMPUTATION and self._may_recompute:
            step.recompute()
        if state.token_budget is not None:
            step.limit_cuts(state.token_budget)
        if state.rung >= Rung.SHORTER_SAMPLES and step.step_layout.max_length > SHORT:
            found = self._shortener.shortened(self._source.samples, SHORT)
            self._source.samples, shortened, left = found
            step.shorten_rows(SHORT)
            if details is not None:
                details |= {"shortened": shortened, "still_longer": left}
        self._source.settings_changed()

    def _next_rung(self, samples: Sequence[Sample]) -> Rung | None:
        step = self._step
        if not step.recomputes and self._may_recompute:
            return Rung.RECOMPUTATION
        if self._smaller_budget(samples) is not None:
            return Rung.SMALLER_CUTS
        padded = step.settings.layout == "padded"
        if step.step_layout.max_length > SHORT and (padded or max(map(len, samples)) > SHORT):
            return Rung.SHORTER_SAMPLES
        four_bit = self._state.rung >= Rung.FOUR_BIT_BASE or step.quantized
        if not four_bit and self._quantization == "auto" and find_spec("bitsandbytes") is not None:
            return Rung.FOUR_BIT_BASE
        return None

    def _smaller_budget(self, samples: Sequence[Sample]) -> int | None:
        """Half of the largest cut that holds several samples; None when every cut holds one."""
        batches = self._step.lay_out(samples)
        several = [each.layout_tokens for each in batches if len(np.unique(each.sample)) > 1]
        if not several:
            return None
        budget = self._step.step_layout.token_budget
        return max(1, min(max(several), budget or max(several)) // 2)

    def _out_of_rungs(self, cause: str) -> OutOfRungs:
        ruled_out = [
            each
            for each, is_so in (
                ("step.gradient_checkpointing=never", not self._may_recompute),
                ("model.quantization=none", self._quantization == "none"),
                ("no package bitsandbytes for a 4-bit base", find_spec("bitsandbytes") is None),
            )
            if is_so
        ]
        unused = f" Not tried: {', '.join(ruled_out)}." if ruled_out else ""
        return OutOfRungs(
            f"Step {self._state.step + 1} does not fit in memory, one sample at a time and with everything given up "
            f"that may be ({cause}).{unused}",
            where=self._log.run.path,
            fix="What was trained is saved. Free memory, or take the run folder to a device with more, and give the "
            "same command: it goes on. Or start anew with a smaller base, data.max_length or lora.rank.",
        )


def base_on_rung(settings: ModelSection, rung: int) -> ModelSection:
    """How the base is loaded where the ladder stands."""
    if rung < Rung.FOUR_BIT_BASE:
        return settings
    return settings.model_copy(update={"quantization": "nf4"})
