"""The merged model as a folder that transformers, vLLM and others load: no adapter, no LexiTrain.

Weights are merged in fp32 and stored in the base's own dtype, in files of a gigabyte at most, so that no more than that
is in memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import ModelError
from lexitrain.exporting.merging.vocabulary import require_rows
from lexitrain.storage import folder_at_once

if TYPE_CHECKING:
    from lexitrain.exporting.merging.merged_weights import MergedWeights

CONFIG = "config.json"
_COPIED = ("generation_config.json",)
_READ_WITH_IT = (
    *("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json"),
    *("adapter_config.json", "generation_config.json", "chat_template.jinja"),
    *("added_tokens.json", "special_tokens_map.json", "vocab.json", "merges.txt"),
)
"""What transformers and vLLM take out of a folder unasked, an adapter too: another model's would change this one."""
_LARGEST_FILE = 1_000_000_000  # bytes

Progress = Callable[[str, int, int], None]


def write_merged(
    folder: Path,
    weights: MergedWeights,
    tokenizer: Any,
    card: str,
    *,
    progress: Progress | None = None,
) -> None:
    """Write the folder; config.json appears last.

    Args:
        folder: receives the files; those of a model that it held before go, others stay.
        weights: base and adapter.
        tokenizer: with its chat template.
        card: README.md.
        progress: called with the folder's name, weights written and weights in all.

    Raises:
        ModelError: a weight cannot be read, or is too large for the base's dtype; the folder is the base's own, or the
            tokenizer another model's.
        Stopped: the disk is full; nothing is left.
        InputError: the folder cannot be written.
    """
    from safetensors.torch import save_file

    if folder.resolve() == weights.folder.resolve():
        raise ModelError(
            "This is the base's own folder: the merged model would replace it.",
            where=folder,
            fix="Name another folder with --out.",
        )
    require_rows(tokenizer, weights.config.vocab_size)
    files = list(_in_files(weights))
    names = [
        "model.safetensors"
        if len(files) == 1
        else f"model-{number:05d}-of-{len(files):05d}.safetensors"
        for number in range(1, len(files) + 1)
    ]
    done = 0
    with folder_at_once(folder, CONFIG) as partial:
        for file, held in zip(names, files, strict=True):
            stored: dict[str, torch.Tensor] = {}
            for name in held:
                stored[name] = _in_dtype(weights.tensor(name), weights.dtype, name)
                done += 1
                if progress:
                    progress(folder.name, done, len(weights.names))
            save_file(stored, partial / file, metadata={"format": "pt"})
        if len(files) > 1:
            _write_index(partial / "model.safetensors.index.json", weights, names, files)
        tokenizer.save_pretrained(partial)
        for name in _COPIED:
            if (weights.folder / name).is_file():
                shutil.copyfile(weights.folder / name, partial / name)
        (partial / "README.md").write_text(card, encoding="utf-8")
        shutil.copyfile(weights.folder / CONFIG, partial / CONFIG)
        _clear(folder, {each.name for each in partial.iterdir()})


def _clear(folder: Path, names: set[str]) -> None:
    """Remove what another model left in the folder and this one does not replace; without config.json it is none."""
    (folder / CONFIG).unlink(missing_ok=True)
    for pattern in _READ_WITH_IT:
        for left in folder.glob(pattern):
            if left.name not in names:
                left.unlink()


def _in_files(weights: MergedWeights) -> Iterator[list[str]]:
    """The names of the weights in each file."""
    held: list[str] = []
    size = 0
    for name in weights.names:
        more = torch.Size(weights.shapes[name]).numel() * weights.dtype.itemsize
        if held and size + more > _LARGEST_FILE:
            yield held
            held, size = [], 0
        held.append(name)
        size += more
    yield held


def _write_index(
    path: Path, weights: MergedWeights, names: Sequence[str], files: Sequence[Sequence[str]]
) -> None:
    total = sum(
        torch.Size(weights.shapes[name]).numel() * weights.dtype.itemsize for name in weights.names
    )
    content = {
        "metadata": {"total_size": total},
        "weight_map": {
            name: file for file, held in zip(names, files, strict=True) for name in held
        },
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _in_dtype(weight: torch.Tensor, dtype: torch.dtype, name: str) -> torch.Tensor:
    stored = weight.to(dtype).contiguous()
    if not torch.isfinite(stored).all():
        raise ModelError(
            f"The merged weight {name} holds numbers up to {float(weight.abs().max()):.3g}, too large for {dtype}.",
            fix="Export to GGUF with BF16 or F32.",
        )
    return stored
