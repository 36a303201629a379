"""Other people's trainers as competitors: Transformers Trainer, TRL's SFTTrainer, Unsloth.

They are used as their own documents say, in the settings of `benchmarks/compare/competitors.py`; what is set besides is
what makes the work the same: the initial adapter, the order of the samples, the learning rate of each step. A callback
takes turns; the loss of a step is the sum of what its micro-batches return, as these trainers divide by the step's
supervised tokens.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.compare import unsloth
from benchmarks.compare.competitors import Competitor
from benchmarks.compare.turns import Turns
from benchmarks.compare.work import SHAPES, Work
from benchmarks.workload import PAD, SEED, STEP_SAMPLES
from lexitrain.batching.micro_batch import IGNORED
from lexitrain.models import attach_adapter
from lexitrain.models.adapter import adapter_weights
from lexitrain.recipe.schema import Recipe
from lexitrain.samples.sample import Sample

Row = dict[str, list[int]]
_PER_ROW = 4  # samples in a packed row of 512; a longer prompt makes the rows longer, not emptier


def run(competitor: Competitor, work: Work, turns: Turns) -> None:
    """Train until told to stop."""
    with tempfile.TemporaryDirectory() as folder:
        build = {"trainer": _trainer, "trl": _trl, "unsloth": unsloth.build}[competitor.kind]
        trainer = build(competitor, work, folder)
        if competitor.kind == "unsloth":
            turns.facts = unsloth.facts()
        trainer.add_callback(_Callback(trainer, turns))
        trainer.train()


class _Callback(TrainerCallback):
    """Takes turns around every optimizer step."""

    def __init__(self, trainer: Any, turns: Turns) -> None:
        self.trainer, self.turns = trainer, turns

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.trainer.counted = {"loss": 0.0, "samples": 0, "supervised": 0, "tokens": 0}
        if not self.turns.begin():
            raise _Enough

    def on_step_end(self, *_: Any, **__: Any) -> None:
        counted = self.trainer.counted
        self.turns.end(**{**counted, "loss": float(counted["loss"])})


class _Enough(Exception):
    """No more turns: leave `Trainer.train`."""


def counting(kind: type[Trainer]) -> type[Any]:
    """The trainer, counting what its micro-batches hold; the loss stays on the device until the step ends."""

    class Counting(kind):  # pyright: ignore[reportGeneralTypeIssues]
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.counted["samples"] += _samples_in(inputs)
            self.counted["supervised"] += int((inputs["labels"] != IGNORED).sum())
            self.counted["tokens"] += inputs["input_ids"].numel()
            loss = super().training_step(model, inputs, *args, **kwargs)
            self.counted["loss"] += loss.detach()
            return loss

        def train(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().train(*args, **kwargs)
            except _Enough:
                return None

    return Counting


def _samples_in(inputs: Any) -> int:
    """Rows of a padded batch; sequences of a packed one, which begin at position 0."""
    positions = inputs.get("position_ids")
    return inputs["input_ids"].shape[0] if positions is None else int((positions == 0).sum())


def _arguments(competitor: Competitor, work: Work, recipe: Recipe, folder: str) -> dict[str, Any]:
    """Arguments of all trainers."""
    return {
        "output_dir": folder,
        "max_steps": work.steps,
        "learning_rate": recipe.optimizer.learning_rate,
        "weight_decay": recipe.optimizer.weight_decay,
        "max_grad_norm": recipe.optimizer.clip,
        "optim": "adamw_torch_fused",
        "seed": SEED,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "bf16": work.dtype == torch.bfloat16,
        "fp16": work.dtype == torch.float16,
        "use_cpu": work.device == "cpu",
        "use_liger_kernel": competitor.liger,
        "dataloader_num_workers": 2 if work.device == "cuda" else 0,
        "dataloader_pin_memory": work.device == "cuda",
    }


def _trainer(competitor: Competitor, work: Work, folder: str) -> Any:
    """Transformers Trainer over padded micro-batches of the recipe's size."""
    recipe = work.recipe(competitor)
    micro = recipe.step.micro_batch if isinstance(recipe.step.micro_batch, int) else 4
    checkpointing = recipe.step.gradient_checkpointing == "always"
    model = adapted(work, recipe)
    if checkpointing:
        model.enable_input_require_grads()
    tokenizer = small_tokenizer(work)
    limit = recipe.data.max_length + work.prompt
    rows = [
        labelled(sample, recipe.step.loss)
        for step in range(work.steps)
        for sample in work.samples_of(step, competitor)
    ]
    return counting(Trainer)(
        model=model,
        args=TrainingArguments(
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=STEP_SAMPLES // micro,
            gradient_checkpointing=checkpointing,
            **_arguments(competitor, work, recipe, folder),
        ),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(
            tokenizer, padding=competitor.padding, max_length=limit, label_pad_token_id=IGNORED
        ),
        processing_class=tokenizer,
        optimizers=optimizer_of(model, work, recipe),
    )


def _trl(competitor: Competitor, work: Work, folder: str) -> Any:
    """TRL's SFTTrainer, packed and padding-free, one row a micro-batch.

    Without FlashAttention it falls back to scaled dot-product attention with a dense mask that transformers makes from
    the position ids, so that a row's attention costs the square of its length: short rows are its best setting then.
    """
    recipe = work.recipe(competitor)
    model = adapted(work, recipe)
    return sft_trainer(competitor, work, folder, model)


def sft_trainer(
    competitor: Competitor, work: Work, folder: str, model: Any, **settings: Any
) -> Any:
    """An SFTTrainer over `model`, which carries the adapter; `settings` of `SFTConfig` win over the usual ones."""
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    recipe = work.recipe(competitor)
    same = competitor.packing == "same"
    longest = competitor.row_length + work.prompt * _PER_ROW * competitor.row_length // 512
    arguments = _arguments(competitor, work, recipe, folder) | {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": competitor.rows,
        "gradient_checkpointing": False,
        "packing": not same,
        "padding_free": True,
        "max_length": None if same else longest,
        "dataset_kwargs": {"skip_prepare_dataset": True} if same else None,
    }
    if (
        not same
    ):  # BFD puts the longest samples first: in its own order, the first steps would hold few
        arguments["train_sampling_strategy"] = "random"
    rows = [
        row
        for step in range(work.steps)
        for row in _rows_of(competitor, work.samples_of(step, competitor), recipe.step.loss)
    ]
    return counting(SFTTrainer)(
        model=model,
        args=SFTConfig(**(arguments | settings)),
        train_dataset=Dataset.from_list(rows),
        processing_class=small_tokenizer(work),
        optimizers=optimizer_of(model, work, recipe),
    )


def _rows_of(competitor: Competitor, samples: list[Sample], loss: str) -> Iterator[Row]:
    """The samples as rows for TRL: one each, to be packed by it, or already packed into the step's rows."""
    labelled_rows = [labelled(sample, loss) for sample in samples]
    for row in labelled_rows:
        row.pop("attention_mask")
    if competitor.packing == "bfd":
        yield from labelled_rows
        return
    bins: list[list[Row]] = [[] for _ in range(competitor.rows)]
    for row in sorted(labelled_rows, key=lambda row: -len(row["input_ids"])):
        min(bins, key=lambda held: sum(len(other["input_ids"]) for other in held)).append(row)
    for held in bins:
        yield {
            "input_ids": [token for row in held for token in row["input_ids"]],
            "labels": [token for row in held for token in row["labels"]],
            "seq_lengths": [len(row["input_ids"]) for row in held],
        }


def adapted(work: Work, recipe: Recipe) -> Any:
    """PEFT's own model over the base, with the adapter that all competitors start from."""
    start = initial_adapter(work, recipe)
    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(work.base(), config)
    set_peft_model_state_dict(model, start)
    return model


def initial_adapter(work: Work, recipe: Recipe) -> dict[str, torch.Tensor]:
    """The weights of the product's new adapter."""
    return adapter_weights(attach_adapter(work.base(), recipe.lora, SEED))


def optimizer_of(model: Any, work: Work, recipe: Recipe) -> tuple[Any, LambdaLR]:
    """AdamW with the product's rates."""
    settings = recipe.optimizer
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    last = work.steps - 1
    return optimizer, LambdaLR(
        optimizer, lambda step: work.rate(min(step, last), recipe) / settings.learning_rate
    )


def labelled(sample: Sample, loss: str) -> Row:
    """A sample as these trainers take it: ids and labels."""
    prompt, completion = sample.prompt_ids.tolist(), sample.completion_ids.tolist()
    targets = [
        token if scored else IGNORED
        for token, scored in zip(completion, sample.supervised, strict=True)
    ]
    masked = prompt if loss == "all_tokens" else [IGNORED] * len(prompt)
    ids = prompt + completion
    return {"input_ids": ids, "labels": masked + targets, "attention_mask": [1] * len(ids)}


def small_tokenizer(work: Work) -> PreTrainedTokenizerFast:
    """A tokenizer of the model's vocabulary, for trainers that want one; nothing is tokenized with it."""
    from tokenizers import Tokenizer, models

    words = {f"t{number}": number for number in range(SHAPES[work.shape].vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token="t0"))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="t0", pad_token=f"t{PAD}", unk_token="t0"
    )
