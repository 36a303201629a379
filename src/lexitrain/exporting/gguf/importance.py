"""Which inputs of each matrix matter: the mean square of what comes in, over a run's own training samples.

The encoder rounds a row so that its error, weighted by these, is small (llama.cpp calls it an importance matrix). It
costs a forward pass a sample, and the model in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from lexitrain.exporting.merging.merged_weights import MergedWeights
    from lexitrain.samples import Sample

_LEAST = 1e-6
"""Of the mean over a matrix's inputs: what an input matters at least."""


def importance_of(
    weights: MergedWeights, samples: Sequence[Sample], progress: Callable[[int], None] | None = None
) -> dict[str, np.ndarray]:
    """Weight of a linear layer -> mean square of each of its inputs, fp32 [inputs]. The head has none.

    Args:
        weights: base and adapter.
        samples: of training.
    """
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_config(weights.config, dtype=torch.float32).eval()
    state = model.state_dict()
    for name in weights.names:
        state[name].copy_(weights.tensor(name))
    model.tie_weights()
    head = model.get_output_embeddings()
    sums: dict[str, torch.Tensor] = {}
    count = 0

    def adds_to(name: str) -> Any:
        def hook(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            seen = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).float().square().sum(0)
            sums[name] = sums[name] + seen if name in sums else seen

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            module.register_forward_pre_hook(adds_to(f"{name}.weight"))
    with torch.inference_mode():
        for sample in samples:
            ids = torch.from_numpy(sample.token_ids.astype(np.int64))[None]
            model(input_ids=ids, use_cache=False, logits_to_keep=1)
            count += ids.shape[1]
            if progress:
                progress(1)
    return {name: _floored(each / count).numpy() for name, each in sums.items() if each.any()}


def _floored(squares: torch.Tensor) -> torch.Tensor:
    """An input that was never seen still counts a little: the encoder writes zeros where nothing of a block counts."""
    return squares.clamp_min(_LEAST * float(squares.mean()))
