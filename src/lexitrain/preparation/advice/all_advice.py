"""All advice on the data of one preparation, and what a prepared folder holds of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lexitrain.preparation.advice.answers import answer_advice
from lexitrain.preparation.advice.labels import CONTRADICTING, label_advice
from lexitrain.preparation.advice.seen import Seen
from lexitrain.preparation.advice.sides import across_splits, own_split_advice
from lexitrain.records import REPORT


def advice(
    seen: Seen, own_splits: Mapping[str, Any], words_of: Callable[[int], list[str]]
) -> dict[str, Any]:
    """What `report.json` holds under `across_splits` and `advice`.

    Args:
        own_splits: as `OwnSplits.to_json` gives them.
        words_of: the learner's words of a record, by its place in the table.
    """
    counts, on_two_sides = across_splits(seen, words_of)
    labels = list(label_advice(seen))
    contradictions = [each for each in labels if each.kind == CONTRADICTING]
    found = [
        *labels,
        *answer_advice(seen, contradictions),
        *on_two_sides,
        *own_split_advice(own_splits),
    ]
    return {"across_splits": counts, "advice": [each.to_json() for each in found]}


def saved_advice(folder: str | Path) -> list[dict[str, Any]]:
    """The advice in the report of a prepared folder, as `report.json` holds it; empty for anything else.

    A folder that was prepared by a version without advice, and a file, hold none.
    """
    try:
        report = json.loads((Path(folder) / REPORT).read_text(encoding="utf-8"))
        return [dict(each) for each in report["advice"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
