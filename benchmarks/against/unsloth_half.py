"""The rival's half, in the rival's environment: Unsloth's model and kernels under TRL's trainer, as its documents say.

What is made equal: base, records, rank, alpha, the adapter at the beginning, optimizer, the learning rate of each step,
clipping, samples a step, epochs, checkpoints, and the supervised tokens, which are compared sample by sample before
anything is trained. What is its own: the order of the samples (its sampler, the same seed), its kernels, its gradient
checkpointing, and whether micro-batches are padded or padding-free, which it decides by its own measurements. It is not
packed: bins of samples would change which ones a step holds.

Nothing of LexiTrain is imported, and Unsloth before everything that it patches.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.against.clock import WARM_UP, StepClock, memory
from benchmarks.against.places import INITIAL, RIVAL, RIVAL_ADAPTER, ROWS
from benchmarks.against.settings import NotRun, Settings, Work, read_work

Row = dict[str, Any]
_IGNORED = -100


def main(work: Path, settings: Settings) -> dict[str, Any]:
    """Train; times, memory, and where the adapter is.

    Raises:
        NotRun: no GPU, Unsloth cannot be imported, or its supervised tokens are others than ours.
    """
    import torch

    if not torch.cuda.is_available():
        raise NotRun("no GPU is visible: Unsloth trains on a GPU alone")
    clock, both = StepClock(), read_work(work / RIVAL)
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = _model(both, settings, work, Path(folder))
        rows = read_rows(work / RIVAL / ROWS)
        trainer = build_trainer(model, tokenizer, rows, both, settings, Path(folder), fp16=_fp16())
        began = time.time()
        differing = differing_samples(trainer, rows)
        if differing:
            raise NotRun(f"{len(differing)} samples have other tokens, the first: {differing[0]}")
        clock.process += time.time() - began  # looking is no part of training
        trainer.add_callback(_timed(clock, both, torch))
        trainer.train()
        taken = memory(torch)
        trainer.model.save_pretrained(str(work / RIVAL_ADAPTER))
        figures = clock.figures(both.samples * both.epochs)  # our side saves within training
    return {
        **figures,
        "memory": taken,
        "steps_done": trainer.state.global_step,
        "same_tokens": {"samples": len(rows), "differing": 0},
        "padding_free": bool(getattr(trainer.args, "padding_free", False)),
        "micro_batch": trainer.args.per_device_train_batch_size,
        "gradient_checkpointing": settings.rival_checkpointing,
        "kernels": _kernels(),
        "precision": "fp16" if _fp16() else "bf16",
        "adapter": RIVAL_ADAPTER,
    }


def _kernels() -> dict[str, bool]:
    """Which attention kernels Unsloth has found."""
    from unsloth.utils import attention_dispatch  # pyright: ignore[reportMissingImports]

    names = ("HAS_XFORMERS", "HAS_FLASH_ATTENTION")
    return {name: bool(getattr(attention_dispatch, name, False)) for name in names}


def _fp16() -> bool:
    import torch

    return torch.cuda.get_device_capability() < (8, 0)


def _model(both: Work, settings: Settings, work: Path, folder: Path) -> tuple[Any, Any]:
    """Unsloth's model with the adapter that both sides start from."""
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(folder / "compiled"))
    try:
        from unsloth import FastLanguageModel  # pyright: ignore[reportMissingImports]
    except Exception as error:  # whatever its environment lacks
        raise NotRun(f"Unsloth cannot be imported: {type(error).__name__}: {error}") from error
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    base, tokenizer = FastLanguageModel.from_pretrained(
        both.base, max_seq_length=both.max_length, dtype=None, load_in_4bit=False
    )
    own = "unsloth" if settings.rival_checkpointing == "unsloth" else False
    model = FastLanguageModel.get_peft_model(
        base,
        r=both.rank,
        lora_alpha=both.alpha,
        lora_dropout=0,
        target_modules=both.targets,
        bias="none",
        use_gradient_checkpointing=own,
        random_state=both.seed,
    )
    loaded = set_peft_model_state_dict(model, load_file(work / RIVAL / INITIAL))
    strange = [name for name in (*loaded.missing_keys, *loaded.unexpected_keys) if "lora_" in name]
    if strange:
        raise NotRun(f"it cannot begin from the same adapter: {strange[0]} does not fit")
    return model, tokenizer


def read_rows(file: Path) -> list[Row]:
    """The samples as `records.as_rows` wrote them."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def build_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    both: Work,
    settings: Settings,
    folder: Path,
    *,
    fp16: bool = False,
    **more: Any,
) -> Any:
    """TRL's trainer, which Unsloth has patched, over prompts and completions with the loss on completions.

    Args:
        folder: for its checkpoints.
        fp16: else bf16 on a GPU.
        more: of `SFTConfig`.
    """
    from datasets import Dataset
    from torch.optim.lr_scheduler import LambdaLR
    from trl import SFTConfig, SFTTrainer

    on_gpu = not more.get("use_cpu", False)
    micro = micro_batch(both.effective_batch, settings.micro_batch)
    texts = [{name: row[name] for name in ("prompt", "completion")} for row in rows]
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(texts),
        args=SFTConfig(
            output_dir=str(folder / "checkpoints"),
            max_length=both.max_length,
            completion_only_loss=True,
            packing=False,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=both.effective_batch // micro,
            num_train_epochs=both.epochs,
            learning_rate=max(both.learning_rates),
            weight_decay=both.weight_decay,
            max_grad_norm=both.clip,
            adam_beta1=both.beta1,
            adam_beta2=both.beta2,
            adam_epsilon=both.epsilon,
            optim="adamw_8bit" if both.optimizer == "adamw_8bit" else "adamw_torch_fused",
            save_strategy="steps",
            save_steps=both.save_every,
            save_total_limit=2,
            eval_strategy="no",
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
            seed=both.seed,
            data_seed=both.seed,
            fp16=fp16 and on_gpu,
            bf16=not fp16 and on_gpu,
            **more,
        ),
    )
    rates = both.learning_rates
    trainer.create_optimizer()
    trainer.lr_scheduler = LambdaLR(
        trainer.optimizer, lambda step: rates[min(step, len(rates) - 1)] / max(rates)
    )
    return trainer


def micro_batch(effective_batch: int, wanted: int) -> int:
    """The largest number of samples, at most `wanted`, that divides a step's samples: every step then holds as many."""
    return max(each for each in range(1, wanted + 1) if effective_batch % each == 0)


def differing_samples(trainer: Any, rows: Sequence[Row]) -> list[str]:
    """What the trainer would learn from each sample against what we do; a sentence for each that differs.

    Looked at behind the collator, one sample at a time: what the model gets as ids and as labels.
    """
    found: list[str] = []
    prepared = list(trainer.train_dataset)
    if len(prepared) != len(rows):
        return [f"it has {len(prepared)} samples for {len(rows)}"]
    for number, (row, example) in enumerate(zip(rows, prepared, strict=True)):
        batch = trainer.data_collator([dict(example)])
        ids, labels = (batch[name].reshape(-1).tolist() for name in ("input_ids", "labels"))
        expected = row["prompt_ids"] + row["completion_ids"]
        learnt = [_IGNORED] * len(row["prompt_ids"]) + row["completion_ids"]
        if ids != expected:
            found.append(f"sample {number}: {len(ids)} tokens, ours {len(expected)}")
        elif labels != learnt:
            count = sum(label != _IGNORED for label in labels)
            found.append(
                f"sample {number}: learns {count} tokens, ours {len(row['completion_ids'])}"
            )
    return found


def _timed(clock: StepClock, both: Work, torch: Any) -> Any:
    """A callback for the clock, which waits for the GPU at the ends of the two intervals alone."""
    from transformers import TrainerCallback

    watched = {min(WARM_UP, both.steps // 2), both.steps}

    class Timed(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.before_steps()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if len(clock.ends) + 1 in watched:
                torch.cuda.synchronize()
            clock.step()

    return Timed()
