"""Unsloth as a competitor, at its own best settings: packed and padding-free, without recomputation, 16 bit.

Its launches take longer than a GPU's work on rows of this size (`unsloth/utils/padding_choice.py` of 2026.10.9), so a
step is one micro-batch: all 24 samples in one row, each seen by itself alone. Its own preparation gives samples that
bring labels along to a collator that knows no borders between them, and without `packing` it turns padding-free off
for them. So the rows are packed before, its preparation is skipped, it is told that they are packed, and what reaches
the model is held against the samples.

It needs other versions of `trl` and `datasets` than the rest, in a folder of their own that UNSLOTH_PACKAGES names, and
must be imported before what it patches. Nothing but the standard library is imported here until it has been.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.compare.competitors import Competitor
    from benchmarks.compare.work import Work

PACKAGES = "UNSLOTH_PACKAGES"
LONGEST = 8192
"""Tokens that a row may have: more than a step's samples have together."""


def is_there() -> bool:
    """Whether a worker could import it."""
    return bool(os.environ.get(PACKAGES)) or find_spec("unsloth") is not None


def environment() -> Mapping[str, str]:
    """What its worker's process is started with: its own packages before all others."""
    folders = [os.environ.get(PACKAGES, ""), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        "UNSLOTH_DISABLE_STATISTICS": "1",
    }


@contextmanager
def imported() -> Iterator[None]:
    """Import it, before transformers, peft and trl; what it compiles lies in a temporary folder meanwhile."""
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    with TemporaryDirectory() as folder:
        os.environ["UNSLOTH_COMPILE_LOCATION"] = folder
        import unsloth  # noqa: F401  # pyright: ignore[reportMissingImports]

        if os.environ.get("UNSLOTH_ALLOW_CPU") == "1":
            _patched_on_a_cpu()
        yield


def _patched_on_a_cpu() -> None:
    """Have it patch the trainer, which it leaves out where there is no GPU."""
    from unsloth.models.rl import PatchFastRL  # pyright: ignore[reportMissingImports]
    from unsloth.trainer import _patch_trl_trainer  # pyright: ignore[reportMissingImports]

    os.environ["UNSLOTH_ALLOW_CPU"] = "0"
    PatchFastRL()
    _patch_trl_trainer()


def facts() -> dict[str, Any]:
    """Its versions, and the attention kernels that it has found."""
    from unsloth.utils import attention_dispatch  # pyright: ignore[reportMissingImports]

    names = ("unsloth", "unsloth_zoo", "trl", "transformers", "xformers")
    kernels = ("HAS_XFORMERS", "HAS_FLASH_ATTENTION")
    found: dict[str, str] = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return {
        "versions": found,
        "kernels": {name: bool(getattr(attention_dispatch, name, False)) for name in kernels},
    }


def build(competitor: Competitor, work: Work, folder: str) -> Any:
    """Its model under the SFTTrainer that it has patched; on a CPU, where its model does not run, under a plain one.

    Raises:
        RuntimeError: what its trainer hands to the model is not what all learn.
    """
    from benchmarks.compare.trainers import adapted, sft_trainer

    if work.device == "cpu":
        model = adapted(work, work.recipe(competitor))
        model.max_seq_length = LONGEST
    else:
        model = _own_model(competitor, work, folder)
    trainer = sft_trainer(competitor, work, folder, model, packing=True, max_length=LONGEST)
    _check(trainer, competitor, work)
    return trainer


def _own_model(competitor: Competitor, work: Work, folder: str) -> Any:
    from peft import set_peft_model_state_dict
    from unsloth import FastLanguageModel  # pyright: ignore[reportMissingImports]

    from benchmarks.compare.trainers import initial_adapter, small_tokenizer
    from benchmarks.workload import SEED

    recipe = work.recipe(competitor)
    work.base().save_pretrained(folder)
    small_tokenizer(work).save_pretrained(folder)
    base, _ = FastLanguageModel.from_pretrained(
        folder,
        max_seq_length=LONGEST,
        dtype=work.dtype,
        load_in_4bit=False,
        fix_tokenizer=False,
        use_gradient_checkpointing=False,
    )
    model = FastLanguageModel.get_peft_model(
        base,
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=0,
        target_modules=list(recipe.lora.targets),
        bias="none",
        use_gradient_checkpointing=False,
        random_state=SEED,
    )
    loaded = set_peft_model_state_dict(model, initial_adapter(work, recipe))
    strange = [name for name in (*loaded.missing_keys, *loaded.unexpected_keys) if "lora_" in name]
    if strange:
        raise RuntimeError(f"it cannot begin from the same adapter: {strange[0]} does not fit")
    return model


def _check(trainer: Any, competitor: Competitor, work: Work) -> None:
    """Its first row must be the first step's samples, with their labels and with borders between them."""
    from benchmarks.compare.trainers import labelled

    loss = work.recipe(competitor).step.loss
    expected = sorted(
        (row["input_ids"], row["labels"])
        for row in (labelled(sample, loss) for sample in work.samples_of(0, competitor))
    )
    batch = trainer.data_collator([dict(trainer.train_dataset[0])])
    if "packed_seq_lengths" not in batch:
        raise RuntimeError("its collator marks no borders between packed samples")
    found: list[tuple[list[int], list[int]]] = []
    start = 0
    ids, labels = (batch[name].reshape(-1).tolist() for name in ("input_ids", "labels"))
    for length in batch["packed_seq_lengths"].tolist():
        found.append((ids[start : start + length], labels[start : start + length]))
        start += length
    if sorted(found) != expected:
        raise RuntimeError(f"its first row holds {len(found)} other samples or labels than ours")
