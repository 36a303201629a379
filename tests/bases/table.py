"""Writes docs/bases.md, what the product does with each family: `python -m tests.bases.table`.

The other tests of this folder prove each entry; a test holds the page to what this writes.
"""

from __future__ import annotations

from typing import Literal

from lexitrain.models import only_padded, sliding_window, unknown_cost
from lexitrain.models.families import only_dense
from tests.bases.families import FAMILIES, tiny_base
from tests.paths import ROOT

PAGE = ROOT / "docs" / "bases.md"

_FUSED = (
    *("gpt_oss", "granitemoe", "llama4_text", "mixtral"),
    *("olmoe", "qwen2_moe", "qwen3_moe", "qwen3_next"),
)
NOT_IN_4_BITS = {
    **dict.fromkeys(_FUSED, "its experts are one fused matrix, which bitsandbytes does not pack"),
    "falcon": "bitsandbytes does not pack its linear layers, which are of a class of their own",
    "mamba": "its kernels read the matrices themselves",
}
"""Families that are refused in 4 bits, and why."""

_BEFORE = """# Bases

Which base models LexiTrain trains, and how. Each line is proven by a test that builds a small model of the family from
its configuration and compares it with the family's own code in transformers, one sample at a time: the loss and every
LoRA gradient agree to a relative 1e-5 in fp32, with windows shorter than the samples, and greedy answers of a batch are
those of one prompt at a time (`tests/bases`). The tests run on a CPU; no GPU has run them.

- **Layouts.** `tree` and `packed` put several samples into one row. That is right only for layers that are softmax
  attention. Every other base, and every family that is not in this table, trains with `step.layout=padded`: a row of
  its own for each sample, computed by the base's own code from beginning to end. Another layout is refused before
  anything is trained (exit 2).
- **Attention.** `any`: blocks on a CPU, FlexAttention on a GPU from compute capability 8.0, else a dense mask. `dense`:
  the family changes attention scores (a bound, sinks), so its own plain attention is computed with a whole mask. `own`:
  no mask is handed to the base.
- **Window.** Layers in which a token sees only the nearest ones before it. It counts along each sample, wherever the
  sample lies in the row.
- **4 bits.** `model.quantization=nf4` is loaded, and a step of it computed.
- **Plan.** `lexitrain plan` foresees time and memory. Where it says no, `train` works, and says that nothing was
  foreseen; `auto` settings then stay as if memory were without limit.
- **Answers.** `batch`: many prompts at once. `one by one`: by transformers' own generation.

"""
_AFTER = """
Before a run begins, the loss of its layout is compared with the base's own on a few made-up samples, with the very
model that is to be trained. A base that gives another loss is refused (exit 2), whatever this table says.

Refused besides, each with its reason: an output head that is not a matrix; samples longer than the base has positions,
or than its `dynamic` or `longrope` positions allow without looking at the rest of the batch; a configuration in which
tokens see those after them.
"""


def layouts_of(family: str) -> tuple[Literal["tree", "packed", "padded"], ...]:
    """Those that the family is offered, the usual one first."""
    return ("padded",) if only_padded(tiny_base(family).config) else ("tree", "packed", "padded")


def page() -> str:
    rows = [
        ("Family (`model_type`)", "Layouts", "Attention", "Window", "4 bits", "Plan", "Answers"),
        ("---",) * 7,
    ]
    for family in sorted(FAMILIES):
        config = tiny_base(family).config
        padded = only_padded(config)
        rows.append(
            (
                f"`{family}`",
                ", ".join(layouts_of(family)),
                "own" if padded else "dense" if only_dense(config) else "any",
                "yes" if sliding_window(config) and not padded else "",
                "no" if family in NOT_IN_4_BITS else "yes",
                "no" if unknown_cost(config) else "yes",
                "one by one" if padded else "batch",
            )
        )
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    reasons: dict[str, list[str]] = {}
    for family, reason in sorted(NOT_IN_4_BITS.items()):
        reasons.setdefault(reason, []).append(f"`{family}`")
    refused = [f"- {', '.join(families)}: {reason}." for reason, families in reasons.items()]
    lines = [table, "", "Refused in 4 bits (exit 2):", "", *refused, ""]
    return _BEFORE + "\n".join(lines) + _AFTER


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
