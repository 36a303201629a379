"""Base model, quantization and adapter; the embedded nano base.

Loading costs what the weights weigh. Nothing here changes a base: no embedding is resized, no code of a model's
repository is run, and an adapter is saved without the embeddings. What needs a base's name or shape alone does not
load torch, so names are fetched from their modules when they are first asked for; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
