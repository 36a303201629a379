"""Evaluation of a run, an adapter or a base: generation, scores with intervals, what they are worth.

Costs a generated answer a record; everything else is milliseconds.

A model behind an address is asked without torch, so names are fetched from their modules when they are first asked for;
`__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
