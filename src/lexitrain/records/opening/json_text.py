"""JSON in which nothing is lost: an object that names a key twice is refused, where Python would keep the last one."""

from __future__ import annotations

import json
from typing import Any


class RepeatedKey(ValueError):
    """An object names a key twice; the message is the reason."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"the key {twice[:40]!r} stands twice in one object")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""Decodes JSON; raises RepeatedKey, a ValueError."""

loads = DECODER.decode
"""The value of a JSON text. Raises ValueError where it is none, and its child RepeatedKey."""
