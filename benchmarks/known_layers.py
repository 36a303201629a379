"""Memory of a cut in known decoder layers, beside the base's own code: `python -m benchmarks.known_layers`.

Counted on tensors without content by the rehearsal (`lexitrain.planning`), in half precision with a dense mask, as on a
T4: the most bytes in use in a single cut, base and adapter included. With recomputation, a large adapter and few scored
positions a cut needs a little more than by the base's own code. Nothing is timed, and any machine counts the same.
Operators are counted by `tests/step/decoder_layer/test_operators.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from benchmarks.workload import RESULTS
from lexitrain.models import architecture_of
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.fake_step import FakeStep, build_fake_step
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.yaml_file import load_recipe

RESULT = RESULTS / "known_layers.json"
BASE = "Qwen/Qwen2.5-0.5B"
TARGET = Target("cuda", "fp16", "dense")
CUTS = (
    (16, False, CutShape(1, 2000, 700)),
    (64, True, CutShape(1, 2000, 200)),
)
"""Rank, whether activations are computed again, shape."""


def fake(*, own: bool, rank: int = 16) -> FakeStep:
    """The step of `fast`, by the base's own code or not."""
    base = architecture_of(BASE)
    recipe = load_recipe("fast", ["model.quantization=none", f"lora.rank={rank}"])
    step = build_fake_step(base, recipe, TARGET, base.decoder.layers)
    step.step.own_layers = own
    return step


def cut_bytes(rank: int, recompute: bool, cut: CutShape, *, own: bool) -> int:
    """Most bytes in use in a cut, the frozen base and the adapter in fp32 included."""
    step = fake(own=own, rank=rank)
    step.recompute(recompute)
    held = step.base_bytes() + 4 * sum(step.adapter_sizes())
    return held + round(float(step.record(cut).parts.sum(axis=1).max()))


def compared(rank: int, recompute: bool, cut: CutShape) -> dict[str, Any]:
    """Bytes of a cut by the base's own code and in known layers, and how they differ."""
    own = cut_bytes(rank, recompute, cut, own=True)
    known = cut_bytes(rank, recompute, cut, own=False)
    return {
        "rank": rank,
        "recomputed": recompute,
        "tokens": cut.length,
        "scored": cut.scored,
        "bytes_by_the_bases_own_code": own,
        "bytes_in_known_layers": known,
        "more_percent": round(100 * (known / own - 1), 2),
    }


def main() -> None:
    """Count, print, save."""
    document = {
        "command": "python -m benchmarks.known_layers",
        "what": "counted by the rehearsal on tensors without content, nothing timed",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "peft", "lexitrain")
        },
        "base": BASE,
        "precision": TARGET.dtype,
        "trained_tensors": len(fake(own=False).adapter_sizes()),
        "cuts": [compared(*each) for each in CUTS],
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
