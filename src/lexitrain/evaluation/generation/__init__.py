"""Generation: what a model says after a prompt, in batches, drawn or most likely, free or held to a schema.

Grammars and what is asked of a server need no torch, so names are fetched when they are first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
