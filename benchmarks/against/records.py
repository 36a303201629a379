"""What both halves are given: the base as a folder, the split, the recipe to the number, the samples, the beginning.

The rival gets each sample as two texts, prompt and completion, and the ids that it must make of them. It tokenizes them
itself; what it makes is compared with the ids, sample by sample (`unsloth_half.py`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.against.places import (
    BASE,
    DATA,
    HELD_OUT,
    INITIAL,
    RECIPE,
    RIVAL,
    ROWS,
    TRAIN_ONLY,
)
from benchmarks.against.settings import Settings, Work
from lexitrain import generate_file, load_recipe, prepare
from lexitrain.batching import SampleOrder
from lexitrain.models import attach_adapter, load_base, load_tokenizer
from lexitrain.models.adapter import adapter_weights
from lexitrain.models.location import resolve_base
from lexitrain.recipe import Recipe, recipe_to_yaml
from lexitrain.records.prepared import read_split
from lexitrain.samples import Renderer, Sample
from lexitrain.step import learning_rate_at
from lexitrain.tasks import registry


def main(work: Path, settings: Settings) -> dict[str, Any]:
    """Write everything into the folder; what it is, in numbers."""
    base = _base(work / BASE, settings)
    data = _data(work, settings)
    recipe = _recipe(base, settings)
    renderer = Renderer(load_tokenizer(str(base)), registry(), recipe.data.max_length)
    left_out: list[str] = []
    train, validation = (
        renderer.render_all(
            read_split(data / f"{split}.jsonl"), on_unfit=lambda _, why: left_out.append(why)
        )
        for split in ("train", "validation")
    )
    order = SampleOrder(
        [sample.task for sample in train],
        recipe.seed,
        recipe.step.effective_batch,
        recipe.schedule.epochs,
    )
    recipe = _checkpointed(recipe, order.total_steps)
    (work / RECIPE).write_text(recipe_to_yaml(recipe), encoding="utf-8")
    rival = work / RIVAL
    rival.mkdir(exist_ok=True)
    _write(rival / ROWS, as_rows(train, renderer.tokenizer))
    _write(rival / HELD_OUT, as_rows(validation[: settings.scored], renderer.tokenizer))
    _beginning(rival / INITIAL, recipe)
    work_of_both = _work(base, recipe, order, train)
    work_of_both.save(rival)
    return {
        "work": work_of_both.described(),
        "base": settings.location[0] or settings.base,
        "revision": settings.location[1] or None,
        "data": settings.source or f"lexitrain data generate --count {settings.records}",
        "validation_samples": len(validation),
        "left_out": len(left_out),
    }


def as_rows(samples: Sequence[Sample], tokenizer: Any) -> Iterator[dict[str, Any]]:
    """Each sample as two texts with their ids.

    Raises:
        ValueError: a sample whose texts do not give its ids again, or with a part of the completion that is not
            learnt, which a rival that masks prompts cannot be told.
    """
    for sample in samples:
        prompt, completion = sample.prompt_ids.tolist(), sample.completion_ids.tolist()
        texts = [
            tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            for ids in (prompt, completion)
        ]
        again = tokenizer("".join(texts), add_special_tokens=False)["input_ids"]
        if again != prompt + completion or not sample.supervised.all():
            raise ValueError(
                f"record {sample.index} cannot be given to both sides as the same tokens"
            )
        yield {
            "prompt": texts[0],
            "completion": texts[1],
            "prompt_ids": prompt,
            "completion_ids": completion,
        }


def _write(file: Path, rows: Iterator[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _base(folder: Path, settings: Settings) -> Path:
    """The base as a folder that both halves load, of the pinned commit."""
    base, revision, _ = settings.location
    told = folder.with_suffix(
        ".txt"
    )  # of an earlier call with another base, in the same work folder
    if not told.is_file() or told.read_text(encoding="utf-8") != f"{base} {revision}":
        shutil.rmtree(folder, ignore_errors=True)
    if not (folder / "config.json").is_file():
        if revision:
            from huggingface_hub import snapshot_download

            wanted = ["*.json", "*.safetensors", "*.txt", "*.jinja"]
            snapshot_download(base, revision=revision, local_dir=folder, allow_patterns=wanted)
        else:
            shutil.copytree(resolve_base(base), folder, dirs_exist_ok=True)
        told.write_text(f"{base} {revision}", encoding="utf-8")
    return folder


def _data(work: Path, settings: Settings) -> Path:
    """The prepared split; beside it the training part alone, so that no side validates while it is timed."""
    data = work / DATA
    for left_over in (data, work / TRAIN_ONLY):  # of an earlier call with other settings
        shutil.rmtree(left_over, ignore_errors=True)
    source = settings.source
    if not source:
        source = str(work / "records.jsonl")
        generate_file(source, settings.records, settings.seed)
    prepare([source], data, seed=settings.seed, workers=0)
    (work / TRAIN_ONLY).mkdir()
    shutil.copy(data / "train.jsonl", work / TRAIN_ONLY / "train.jsonl")
    return data


def _recipe(base: Path, settings: Settings) -> Recipe:
    on_gpu = torch.cuda.is_available()
    return load_recipe(
        settings.location[2],
        [
            f"model.base={base}",
            "model.quantization=none",
            f"optimizer.name={'adamw_8bit' if on_gpu else 'adamw'}",
            "lora.dropout=0",
            f"schedule.epochs={settings.epochs}",
            f"seed={settings.seed}",
            "checkpoints.mirror=none",
        ],
    )


def _checkpointed(recipe: Recipe, steps: int) -> Recipe:
    """With at least four checkpoints on the way: a disconnect loses at most a quarter."""
    every = max(1, min(recipe.checkpoints.every, steps // 4))
    checkpoints = recipe.checkpoints.model_copy(update={"every": every})
    return recipe.model_copy(update={"checkpoints": checkpoints})


def _beginning(file: Path, recipe: Recipe) -> None:
    """The adapter that both sides start from, with PEFT's names."""
    from safetensors.torch import save_file

    base = load_base(recipe.model, device="cpu", dtype=torch.float32)
    file.parent.mkdir(exist_ok=True)
    weights = adapter_weights(attach_adapter(base, recipe.lora, recipe.seed))
    save_file(weights, file)


def _work(base: Path, recipe: Recipe, order: SampleOrder, train: Sequence[Sample]) -> Work:
    optimizer, steps = recipe.optimizer, order.total_steps
    return Work(
        base=str(base),
        rank=recipe.lora.rank,
        alpha=recipe.lora.alpha,
        targets=list(recipe.lora.targets),
        learning_rates=[
            learning_rate_at(step, steps, recipe.schedule, optimizer.learning_rate)
            for step in range(steps)
        ],
        weight_decay=optimizer.weight_decay,
        clip=optimizer.clip,
        beta1=optimizer.beta1,
        beta2=optimizer.beta2,
        epsilon=optimizer.epsilon,
        optimizer=optimizer.name,
        epochs=recipe.schedule.epochs,
        effective_batch=recipe.step.effective_batch,
        steps=steps,
        max_length=recipe.data.max_length,
        save_every=recipe.checkpoints.every,
        seed=recipe.seed,
        samples=len(train),
        tokens=sum(len(sample) for sample in train),
        supervised_tokens=sum(int(sample.supervised.sum()) for sample in train),
    )
