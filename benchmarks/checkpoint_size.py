"""Size of what a run keeps on disk: `python -m benchmarks.checkpoint_size`.

For `fast` (Qwen2.5-0.5B, rank 16) and `best` (1.5B, rank 48): the product's own adapter on a base of the exact shape,
with random weights, the recipe's own optimizer after one step on random gradients, written by the product's own
checkpoint code: more checkpoints than are kept, so that the rotation is measured too, and the best adapter beside them.
The frozen base does not enter a checkpoint, so it exists as shapes only. Takes about 2 GB of memory and of temporary
disk.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from lexitrain.batching.sample_order import Cursor
from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.checkpoints import Checkpoints
from lexitrain.step import build_optimizer
from lexitrain.training.recovery.checkpoint_content import (
    AdapterFiles,
    checkpoint_files,
    restore,
)
from lexitrain.training.recovery.state import TrainingState

RESULT = Path(__file__).parent / "results" / "checkpoint_size.json"
SHAPES: dict[str, dict[str, int]] = {
    "Qwen/Qwen2.5-0.5B-Instruct": {
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "intermediate_size": 4864,
    },
    "Qwen/Qwen2.5-1.5B-Instruct": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "intermediate_size": 8960,
    },
}
#: Megabytes (10^6 bytes) that all kept checkpoints may take together.
LIMITS = {"fast": 150, "best": 1300}


def adapter_on_shapes(recipe: Recipe) -> Any:
    """A base that has shapes but no weights, with a real adapter of random weights."""
    config = Qwen2Config(
        vocab_size=151_936,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        **SHAPES[recipe.model.base],
    )
    with torch.device("meta"):
        base = Qwen2ForCausalLM(config)
    model = attach_adapter(base, recipe.lora, recipe.seed)
    for name, module in model.named_modules():
        if name.endswith((".lora_A.default", ".lora_B.default")):
            module.to_empty(device="cpu")
            torch.nn.init.normal_(module.weight, std=0.02)
    return model


def measure(name: str) -> dict[str, Any]:
    """Write more checkpoints than a recipe keeps, and say what lies on the disk then."""
    recipe = load_recipe(name)
    torch.manual_seed(recipe.seed)
    model = adapter_on_shapes(recipe)
    optimizer = build_optimizer(model.named_parameters(), recipe.optimizer)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.randn_like(parameter)
    optimizer.step()

    adapter = AdapterFiles(model, recipe.model.base)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), recipe.checkpoints.keep)
        every, seconds = recipe.checkpoints.every, 0.0
        for step in range(every, (recipe.checkpoints.keep + 3) * every, every):
            start = time.perf_counter()
            state = TrainingState(step=step)
            files = checkpoint_files(adapter, model, optimizer, state, Cursor(step, 0, step))
            checkpoints.save_best(step, adapter.contents(), {"validation_loss": 1 / step})
            checkpoints.save(step, files)
            seconds = time.perf_counter() - start
        kept = sorted(each.name for each in Path(folder).iterdir())
        total = checkpoints.size()
        found = checkpoints.newest_valid(lambda *_: None)
        assert found is not None
        assert restore(found, model, optimizer).step == step
    return {
        "recipe": name,
        "base": recipe.model.base,
        "rank": recipe.lora.rank,
        "optimizer": recipe.optimizer.name,
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "files_mb": {each: round(len(content) / 1e6, 3) for each, content in files.items()},
        "each_mb": round(sum(map(len, files.values())) / 1e6, 1),
        "kept": kept,
        "kept_mb": round(total / 1e6, 1),
        "limit_mb": LIMITS[name],
        "write_seconds": round(seconds, 2),
    }


def main() -> None:
    """Measure, print a table, save the result."""
    rows = [measure(name) for name in LIMITS]
    for row in rows:
        print(
            f"{row['recipe']:6} {row['trainable_parameters'] / 1e6:6.1f} M trainable  "
            f"{row['each_mb']:6.1f} MB a checkpoint  {row['kept_mb']:7.1f} MB kept "
            f"(limit {row['limit_mb']})  {', '.join(row['kept'])}  {row['write_seconds']} s a save"
        )
    result = {
        "command": "python -m benchmarks.checkpoint_size",
        "versions": {name: version(name) for name in ("torch", "peft", "bitsandbytes")},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
        "megabyte": 1_000_000,
        "results": rows,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    assert all(row["kept_mb"] <= row["limit_mb"] for row in rows), "over the limit"


if __name__ == "__main__":
    main()
