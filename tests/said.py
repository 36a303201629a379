"""What `ask` gives where a model is not asked: texts as answers that ended."""

from __future__ import annotations

from lexitrain.evaluation.generation import Said


def said(*texts: str) -> list[list[Said]]:
    """One answer to each prompt."""
    return [[Said(text, None)] for text in texts]
