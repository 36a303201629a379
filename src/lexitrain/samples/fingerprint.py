"""What samples were made from, as a key under which they are kept and found again.

Besides the records it is the tokenizer with its chat template, the recipe's `data.max_length`, `data.tasks` and
`data.system`, and the code that turns a record into tokens: rendering, the tasks of this package, and the files of the
user's own tasks. Costs reading some twenty source files.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexitrain.recipe import DataSection, ModelSection
    from lexitrain.tasks import Task

_PACKAGE = Path(__file__).parents[1]


def samples_key(
    records: str, tokenizer: str, data: DataSection, registry: Mapping[str, Task]
) -> str:
    """The key of samples: changes whenever they could.

    Args:
        records: hash of the records.
        tokenizer: `tokenizer_fingerprint` or `base_fingerprint`.
        data: the recipe's section.
        registry: the tasks that render the records.
    """
    return hash_of(
        records,
        tokenizer,
        json.dumps([data.max_length, data.tasks, data.system]),
        *_rendering_code(registry),
    )


def tokenizer_fingerprint(tokenizer: Any, template: str, day: str) -> str:
    """Of a loaded tokenizer: its content and its chat template.

    Args:
        template: the one that is used.
        day: that it writes; empty where it writes none.
    """
    return hash_of(tokenizer.backend_tokenizer.to_str(), template, day)


def base_fingerprint(model: ModelSection) -> str:
    """Of the tokenizer of a base that is not loaded: name and revision stand for its files."""
    return hash_of(model.base, str(model.revision))


def hash_of(*parts: str) -> str:
    """SHA-256 of some texts, in their order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _rendering_code(registry: Mapping[str, Task]) -> list[str]:
    """Source of all that turns a record into text and tokens."""
    own = ("rendering.py", "chat_template.py", "template_date.py", "token_pieces.py")
    paths = {_PACKAGE / "samples" / name for name in own}
    paths |= set((_PACKAGE / "tasks").rglob("*.py"))
    # A task's prompts may come from any class that it inherits from, but for Python's own.
    classes = {each for task in registry.values() for each in type(task).__mro__} - {object, ABC}
    paths |= {Path(source) for each in classes if (source := inspect.getsourcefile(each))}
    # In the order of the texts: where the files lie differs between machines.
    return sorted(path.read_text(encoding="utf-8") for path in paths)
