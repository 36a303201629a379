"""Answers of one prompt after another by transformers' own generation, for bases that a batch would change.

They keep other things than keys and values of what they have read, or compute a long batch otherwise than a prompt
alone. Tokens are chosen as in a batch; only who runs the model differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from lexitrain.evaluation.generation.picking import Choice, Picker


def one_by_one(
    model: Any,
    base: Any,
    prompts: Sequence[NDArray[np.int32]],
    choice: Choice,
    progress: Callable[[int], None] | None,
) -> list[tuple[list[int], bool]]:
    """Tokens of each answer and whether it has ended, without what the base's own settings would add.

    Args:
        base: the model without what PEFT puts around it.
    """
    answers: list[tuple[list[int], bool]] = []
    stated, base.generation_config = base.generation_config, GenerationConfig()
    wanted = GenerationConfig(
        max_new_tokens=choice.maximum_tokens,
        do_sample=False,
        pad_token_id=0,  # of single rows, so that nothing is padded
    )
    try:
        for row, prompt in enumerate(prompts):
            tokens = torch.tensor(prompt, dtype=torch.long, device=model.device)[None]
            picker = Picker(choice, [row], model.device)
            model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                generation_config=wanted,
                logits_processor=[_Picked(picker)],
                stopping_criteria=[_Ended(picker)],
            )
            answers.append((picker.answers[0], picker.ended[0]))
            if progress:
                progress(1)
    finally:
        base.generation_config = stated
    return answers


class _Picked(LogitsProcessor):
    """Leaves nothing but the token that was picked."""

    def __init__(self, picker: Picker) -> None:
        self._picker = picker

    def __call__(self, _ids: Tensor, scores: Tensor) -> Tensor:
        tokens, _ = self._picker.pick(scores)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


class _Ended(StoppingCriteria):
    """Ends where the picker has seen the end."""

    def __init__(self, picker: Picker) -> None:
        self._picker = picker

    def __call__(self, ids: Tensor, *_given: Any, **_options: Any) -> Any:
        return torch.full((1,), not self._picker.going, dtype=torch.bool, device=ids.device)
