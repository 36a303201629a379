"""JSON that every reader takes: a number that is not finite has no form in JSON, and is written as null.

Python writes and reads bare `NaN` and `Infinity`, which no other reader does. Files of version 0.1 may hold them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON (RFC 8259), with null for each number that is not finite, and escaped where a text holds half a
    character (a lone surrogate), which UTF-8 cannot write."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: _finite(each) for key, each in items}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in cast("list[Any]", value)]
    return value
