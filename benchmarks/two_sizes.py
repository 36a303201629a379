"""Two sizes of base: what the small one loses and saves, all measured.

    python nano/pretrain.py --tokenizer src/lexitrain/models/nano --work WORK --out SMALL --small --share 0.4
    python -m benchmarks.two_sizes --small SMALL [--folder DIR]

nano (2.4 million parameters) and a base a third its size, made by the same script on 40 % of its text, are trained by
the recipe `demo` on the demo's records and compared on the whole test split. Six minutes on two idle cores besides the
pretraining.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.race import demo_data, machine
from lexitrain import compare, load_recipe, train

RESULT = Path(__file__).parent / "results" / "two_sizes.json"


def parameters(base: Path) -> int:
    """Parameters of a base folder, tied ones once."""
    from safetensors import safe_open

    with safe_open(base / "model.safetensors", "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=Path, required=True, help="the small base's folder")
    parser.add_argument("--folder", type=Path, help="keeps all runs; goes on where it was stopped")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        data = demo_data(folder)
        bases = {"large": "nano", "small": str(arguments.small.resolve())}
        for name, base in bases.items():
            train(load_recipe("demo", [f"model.base={base}"]), data, folder / name)
        found = compare([folder / "large", folder / "small"], data, out=folder / "comparison")
    document = found.to_json()
    nano = Path(__file__).parents[1] / "src" / "lexitrain" / "models" / "nano"
    result: dict[str, Any] = {
        "command": "python -m benchmarks.two_sizes",
        "parameters": {"large": parameters(nano), "small": parameters(arguments.small)},
        "test_records": document["models"][0]["evaluation"]["n"],
        "verdict": found.verdict(1),
        "costs": {model["name"]: model["costs"] for model in document["models"]},
        "tasks": {
            name: {
                "large": _score(document["models"][0], name, task["primary"]),
                "small": _score(document["models"][1], name, task["primary"]),
                **{key: each for key, each in task.items() if key != "regressions"},
            }
            for name, task in document["differences"][0]["tasks"].items()
        },
        "machine": machine(),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(found.verdict(1))


def _score(model: dict[str, Any], task: str, score: str) -> dict[str, Any]:
    found = model["evaluation"]["tasks"][task]["scores"][score]
    return {key: found[key] for key in ("value", "low", "high", "n")}


if __name__ == "__main__":
    main()
