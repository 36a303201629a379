"""What the rival's trainer would learn, looked at without a GPU: does it learn the tokens that we learn?

    python -m benchmarks.against --work DIR --base nano --only data
    UNSLOTH_PYTHON -m benchmarks.against.rival_tokens --work DIR

Runs in the rival's environment. Unsloth is imported and patches TRL; the base is a plain one under PEFT, as Unsloth's
own models need a GPU. Trainer, tokenization, masks and collator are those of the timed run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from benchmarks.against.card import machine
from benchmarks.against.places import RIVAL, ROWS
from benchmarks.against.settings import Settings, read_work
from benchmarks.against.unsloth_half import build_trainer, differing_samples, read_rows


def _unsloth_and_what_it_patches() -> None:
    """Import it and have it write its own trainer, which it leaves out where there is no GPU."""
    import unsloth  # noqa: F401  # pyright: ignore[reportMissingImports]
    from unsloth.models.rl import PatchFastRL  # pyright: ignore[reportMissingImports]
    from unsloth.trainer import _patch_trl_trainer  # pyright: ignore[reportMissingImports]

    os.environ["UNSLOTH_ALLOW_CPU"] = "0"
    PatchFastRL()
    _patch_trl_trainer()


def main() -> None:
    """Print one JSON document; `--out` saves it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--micro-batch", type=int, default=Settings().micro_batch)
    arguments = parser.parse_args()
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    os.environ.setdefault("UNSLOTH_ALLOW_CPU", "1")  # Unsloth's own, for tests
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(Path(folder) / "compiled"))
        _unsloth_and_what_it_patches()
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer

        both = read_work(arguments.work / RIVAL)
        rows = read_rows(arguments.work / RIVAL / ROWS)
        base = AutoModelForCausalLM.from_pretrained(both.base)
        model = get_peft_model(
            base, LoraConfig(r=both.rank, target_modules=both.targets, task_type="CAUSAL_LM")
        )
        settings = Settings(micro_batch=arguments.micro_batch)
        tokenizer = AutoTokenizer.from_pretrained(both.base)
        trainer = build_trainer(model, tokenizer, rows, both, settings, Path(folder), use_cpu=True)
        differing = differing_samples(trainer, rows)
        together = trainer.data_collator([dict(trainer.train_dataset[n]) for n in range(8)])
        found = {
            "command": "python -m benchmarks.against.rival_tokens",
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "samples": len(rows),
            "differing": len(differing),
            "first": differing[:3],
            "trainer": f"{type(trainer).__module__}.{type(trainer).__name__}",
            "padding_free": bool(getattr(trainer.args, "padding_free", False)),
            "a_micro_batch": {name: list(value.shape) for name, value in together.items()},
            "machine": machine(),
        }
    text = json.dumps(found, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
