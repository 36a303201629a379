"""Training: the loop, its checkpoints, what it says while it runs.

`train` starts a run or goes on with it. A run ends with the same bytes however often it was stopped or killed on the
way (same machine, same versions). What a run's losses say needs no torch, so names are fetched from their modules when
they are first asked for; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
