"""The work of a comparison, the same for all: the model, the samples of each step, the learning rate of each step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.compare.competitors import EQUAL, Competitor
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.sample import Sample

if TYPE_CHECKING:
    import torch

SHAPES = {
    "nano": workload.NANO_SHAPE,
    "tiny": workload.TINY_SHAPE,
    "cpu": workload.CPU_SHAPE,
    "0.5B": workload.QWEN_05B,
    "1.5B": workload.QWEN_15B,
}


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker is told.

    Attributes:
        shape: name of the model's shape.
        steps: optimizer steps of the schedule, the warm-up one included.
        prompt: tokens added in front of every prompt, the same for all samples.
        device: `cpu` or `cuda`.
        data: `mixture`, the real corpora; `generated`, the product's synthetic records where those are not there.
    """

    shape: str = "cpu"
    steps: int = 21
    prompt: int = 0
    device: str = "cpu"
    data: str = "mixture"

    @property
    def dtype(self) -> torch.dtype:
        """fp32 on a CPU; on a GPU as the product decides."""
        import torch

        from lexitrain.models.loading import compute_dtype

        return compute_dtype("auto", torch.device(self.device))

    def described(self) -> dict[str, Any]:
        """For a result file."""
        return {**asdict(self), "model": SHAPES[self.shape].described(), "dtype": str(self.dtype)}

    def base(self) -> Any:
        """The base model, frozen, the same numbers in every process on this device."""
        return workload.build_base(SHAPES[self.shape], dtype=self.dtype, device=self.device)

    def samples(self, max_length: int) -> list[Sample]:
        """All samples in their order."""
        found = workload.rendered_samples(self.data, max_length)
        return workload.with_shared_prompt(found, self.prompt) if self.prompt else found

    def samples_of(self, step: int, competitor: Competitor) -> list[Sample]:
        """The 24 samples of a step."""
        return workload.step_samples(self.samples(self.recipe(competitor).data.max_length), step)

    def recipe(self, competitor: Competitor) -> Recipe:
        """The competitor's recipe with what must be equal for all."""
        return load_recipe(competitor.recipe, [*EQUAL, *competitor.overrides])

    def rate(self, step: int, recipe: Recipe) -> float:
        """The learning rate of a step, for all competitors."""
        from lexitrain.step import learning_rate_at

        return learning_rate_at(step, self.steps, recipe.schedule, recipe.optimizer.learning_rate)
