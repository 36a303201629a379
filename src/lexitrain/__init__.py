"""LexiTrain plans, trains, proves and ships a small tutor model on a budget GPU.

The commands are thin: what they do is a function here, described in docs/api.md. Names are fetched from their rooms
when they are first asked for (`__init__.pyi` lists them), so that importing the package costs nothing and only what
needs torch loads it.
"""

# lazy_loader has no types of its own; what it attaches is typed by the stub beside this file.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
