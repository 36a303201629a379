"""Base model, quantization and adapter; the embedded nano base.

Loading costs what the weights weigh. Nothing here changes a base: no embedding is resized, no code of a model's
repository is run, and an adapter is saved without the embeddings.
"""

from lexitrain.models.adapter import attach_adapter, load_adapter, restore_adapter, save_adapter
from lexitrain.models.loading import compute_dtype, load_base, load_tokenizer

__all__ = [
    "attach_adapter",
    "compute_dtype",
    "load_adapter",
    "load_base",
    "load_tokenizer",
    "restore_adapter",
    "save_adapter",
]
