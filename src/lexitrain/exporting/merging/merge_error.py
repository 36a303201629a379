"""How far the merged model's logits are from those of base and adapter, on real records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lexitrain.exporting.verification.distributions import Distances, distances, logits_of
from lexitrain.models import load_base
from lexitrain.recipe import ModelSection

if TYPE_CHECKING:
    from lexitrain.evaluation import LoadedModel
    from lexitrain.samples import Sample


def merge_error(
    loaded: LoadedModel,
    folder: Path,
    samples: Sequence[Sample],
    progress: Callable[[int], None] | None = None,
) -> Distances:
    """Distances between base with adapter, as training had it, and the merged folder, both computed in fp32.

    Args:
        loaded: base and adapter.
        folder: that `write_merged` wrote, or any other one of the same tokenizer.
        samples: records as tokens.
    """
    merged = load_base(ModelSection(base=str(folder)), device="cpu", dtype=torch.float32)

    def reference(sample: Sample) -> torch.Tensor:
        loaded.select(sample.task)
        return logits_of(loaded.model, sample)

    return distances(reference, (logits_of(merged, each) for each in samples), samples, progress)
