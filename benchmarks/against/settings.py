"""What both sides train: chosen once, written to `work.json`, read by each half. Standard library only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BASES = {
    "nano": ("nano", "", "demo"),
    "0.5B": ("Qwen/Qwen2.5-0.5B-Instruct", "7ae557604adf67be50417f59c2c2f167def9a775", "fast"),
    "1.5B": ("Qwen/Qwen2.5-1.5B-Instruct", "989aa7980e4cf806f80c7fef2b1adb7bc71aa306", "quality"),
}
"""Name -> base, its commit on the Hub, and the shipped recipe whose rank, rates and lengths are taken."""
WORK = "work.json"


class NotRun(Exception):
    """A part that cannot run here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for.

    Attributes:
        base: a name of `BASES`, or a folder that holds a base; it is trained as 0.5B is.
        records: how many are generated, before preparation; unused with `source`.
        source: a file or folder of records; empty: generated ones.
        epochs: passes over the training split.
        seed: of generation, split, order and adapter.
        scored: most records of the test split, and most samples of the validation split, that are scored.
        old_way_steps: steps in which the team's old way is timed; 0: not at all.
        quantize: type of the exported GGUF file.
        micro_batch: samples in one of the rival's micro-batches, or the next number below that divides a step.
        rival_checkpointing: the rival's gradient checkpointing: `unsloth`, its own, or `none`.
    """

    base: str = "0.5B"
    records: int = 6000
    source: str = ""
    epochs: int = 2
    seed: int = 42
    scored: int = 300
    old_way_steps: int = 12
    quantize: str = "F16"
    micro_batch: int = 8
    rival_checkpointing: str = "unsloth"

    @property
    def location(self) -> tuple[str, str, str]:
        """Base, commit and recipe."""
        return BASES.get(self.base, (self.base, "", "fast"))

    def key(self, *circumstances: str) -> str:
        """What a finished part must have been made with to be taken again."""
        given = [asdict(self), circumstances, *_hashes(self.source)]
        content = json.dumps(given, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _hashes(source: str) -> list[str]:
    """Of the files of records that were given; none where they are generated."""
    place = Path(source)
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    if not source:
        return []
    return [hashlib.sha256(each.read_bytes()).hexdigest() for each in files if each.is_file()]


@dataclass(frozen=True, slots=True)
class Work:
    """What both sides do, to the number: the recipe, resolved, with what follows from the data.

    Attributes:
        base: folder of the base.
        rank, alpha, targets: of the adapter; dropout is 0.
        learning_rates: of each step.
        weight_decay, clip, beta1, beta2, epsilon, optimizer: `adamw` or `adamw_8bit`.
        epochs, effective_batch, steps: of the whole run; the last step of an epoch may hold fewer samples.
        max_length: tokens a sample may have.
        save_every: steps between checkpoints.
        seed: of order and adapter.
        samples, tokens, supervised_tokens: of the training split, once.
    """

    base: str
    rank: int
    alpha: float
    targets: list[str]
    learning_rates: list[float]
    weight_decay: float
    clip: float
    beta1: float
    beta2: float
    epsilon: float
    optimizer: str
    epochs: int
    effective_batch: int
    steps: int
    max_length: int
    save_every: int
    seed: int
    samples: int
    tokens: int
    supervised_tokens: int

    def save(self, folder: Path) -> None:
        """Write `work.json` into the folder."""
        (folder / WORK).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def described(self) -> dict[str, Any]:
        """For a result: without the rate of each step and this machine's folder."""
        found = asdict(self)
        rates = found.pop("learning_rates")
        found.pop("base")
        return {**found, "peak_learning_rate": max(rates)}


def read_work(folder: Path) -> Work:
    """What `Work.save` wrote."""
    return Work(**json.loads((folder / WORK).read_text(encoding="utf-8")))
