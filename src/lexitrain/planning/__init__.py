"""Planning: what a recipe costs in memory, time and disk before it runs.

A *rehearsal* executes the product's own training step on fake tensors, which have shapes and no content: no weights,
no GPU, no network for the architectures whose shapes are built in. What it finds is exact for the step that runs
later, because it is the same code. A plan whose rehearsals are in the cache needs no torch, so names are fetched from
their modules when they are first asked for; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
