"""Whether two demo folders hold the same results: `python -m benchmarks.same_demo BEFORE AFTER`.

Made by `lexitrain demo --dir BEFORE` with one version and `--dir AFTER` with another, on the same machine. Compared
byte for byte: the generated records, the prepared data, the adapter's weights. Number for number: the losses, learning
rates and gradient norms of every line of metrics.jsonl, and the evaluations with every answer. Times, paths and memory
are not compared. Exit code 1 where something differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BYTES = (
    "records.jsonl",
    "data/train.jsonl",
    "data/validation.jsonl",
    "data/test.jsonl",
    "run/recipe.yaml",
    "run/adapter/adapter_model.safetensors",
    "run/adapter/adapter_config.json",
)
_NUMBERS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "supervised_tokens",
    "layout_tokens",
)
_TIMES = {"seconds", "file", "trivial_from", "name", "model"}


def differences(before: Path, after: Path) -> list[str]:
    """What differs, as sentences; empty: nothing does."""
    found = [
        f"{name} differs"
        for name in BYTES
        if (before / name).read_bytes() != (after / name).read_bytes()
    ]
    lines = [_metrics(folder / "run" / "metrics.jsonl") for folder in (before, after)]
    if lines[0] != lines[1]:
        found.append("the numbers of run/metrics.jsonl differ")
    folders = [folder / "run" / "evaluation" for folder in (before, after)]
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    if names[0] != names[1]:
        found.append(f"the evaluations are others: {names[0]} and {names[1]}")
    for name in set(names[0]) & set(names[1]):
        one, other = (_evaluation(folder / name) for folder in folders)
        if one != other:
            found.append(f"run/evaluation/{name} differs")
    return found


def _metrics(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: line.get(key) for key in (*_NUMBERS, "validation_loss")} for line in lines]


def _evaluation(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return path.read_bytes()
    return _without_times(json.loads(path.read_text()))


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in _TIMES}
    return value


def main() -> int:
    """Print what differs."""
    before, after = map(Path, sys.argv[1:3])
    found = differences(before, after)
    print("\n".join(found) or "the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
