"""Tokenized samples in a few flat arrays, kept in a file: in a run's folder, and in the cache of plans.

Rendering and tokenizing 14,000 records takes seconds, a million minutes; a resumed run reads the arrays instead. They
take 5 bytes a token and 13 a sample, in memory and on disk. The file carries the key of what it was made from
(`fingerprint.py`) and a hash of its content; a file of another key or a damaged one is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lexitrain.samples.sample import Sample
from lexitrain.storage import write_file

_FORMAT = "1"


@dataclass(frozen=True)
class Samples(Sequence[Sample]):
    """Samples of one split, made from the arrays when asked for.

    Attributes:
        tokens: prompt and completion ids of all samples, one after the other, int32 [T].
        supervised: True where a token is a target, bool [T].
        starts: where each sample begins in `tokens`, and its length at the end, int64 [N + 1].
        prompts: length of each prompt, int32 [N].
        rows: row of each sample in the split's file, int32 [N].
        task_numbers: index into `task_names`, int16 [N].
        cut: True where the learner's text was shortened, bool [N].
        task_names: short names of the tasks.
        skipped: records that did not fit.
    """

    tokens: NDArray[np.int32]
    supervised: NDArray[np.bool_]
    starts: NDArray[np.int64]
    prompts: NDArray[np.int32]
    rows: NDArray[np.int32]
    task_numbers: NDArray[np.int16]
    cut: NDArray[np.bool_]
    task_names: tuple[str, ...]
    skipped: int

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        start, end = int(self.starts[index]), int(self.starts[index + 1])
        middle = start + int(self.prompts[index])
        return Sample(
            prompt_ids=self.tokens[start:middle],
            completion_ids=self.tokens[middle:end],
            supervised=self.supervised[middle:end],
            task=self.task_names[self.task_numbers[index]],
            index=int(self.rows[index]),
            truncated=bool(self.cut[index]),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample."""
        return np.diff(self.starts)

    @property
    def tasks(self) -> list[str]:
        """Task of each sample."""
        return [self.task_names[number] for number in self.task_numbers]

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that a model can see of these samples."""
        digest = hashlib.sha256(json.dumps([self.task_names, self.skipped]).encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "tokens": self.tokens,
            "supervised": self.supervised,
            "starts": self.starts,
            "prompts": self.prompts,
            "rows": self.rows,
            "task_numbers": self.task_numbers,
            "cut": self.cut,
        }

    def save(self, path: Path, key: str, about: Mapping[str, str] | None = None) -> None:
        """Write the arrays as safetensors under the key of what they were made from.

        Args:
            path: of the file.
            key: without which `read_saved` does not give them back.
            about: facts to keep with them.

        Raises:
            OSError: it cannot be written.
        """
        header = {
            "format": _FORMAT,
            "key": key,
            "sha256": _content_sha256(self, about or {}),
            "tasks": json.dumps(self.task_names),
            "skipped": str(self.skipped),
        }
        if about:
            header["about"] = json.dumps(dict(about), sort_keys=True)
        write_file(path, save(self._arrays(), metadata=header))


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file of samples holds.

    Attributes:
        samples: as they were saved.
        about: the facts that were kept with them.
    """

    samples: Samples
    about: Mapping[str, str]


def collect(samples: Iterable[Sample | None]) -> Samples:
    """Put samples into arrays; None stands for a record that was skipped."""
    names: dict[str, int] = {}
    tokens: list[NDArray[np.int32]] = []
    supervised: list[NDArray[np.bool_]] = []
    rows: list[tuple[int, int, int, bool]] = []
    skipped = 0
    for sample in samples:
        if sample is None:
            skipped += 1
            continue
        prompt = len(sample.prompt_ids)
        tokens += [sample.prompt_ids, sample.completion_ids]
        supervised += [np.zeros(prompt, dtype=np.bool_), sample.supervised]
        number = names.setdefault(sample.task, len(names))
        rows.append((prompt, sample.index, number, sample.truncated))
    ends = np.cumsum([len(array) for array in tokens], dtype=np.int64)[1::2]
    table = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return Samples(
        tokens=np.concatenate([*tokens, np.empty(0, np.int32)]).astype(np.int32),
        supervised=np.concatenate([*supervised, np.empty(0, np.bool_)]),
        starts=np.concatenate([np.zeros(1, np.int64), ends]),
        prompts=np.asarray(table[0], dtype=np.int32),
        rows=np.asarray(table[1], dtype=np.int32),
        task_numbers=np.asarray(table[2], dtype=np.int16),
        cut=np.asarray(table[3], dtype=np.bool_),
        task_names=tuple(names),
        skipped=skipped,
    )


def read_saved(path: Path, key: str) -> Saved | None:
    """What was saved, or None when nothing was, it is of another key, or the file is damaged."""
    try:
        opened: Any = safe_open(path, framework="numpy")  # it has no types
        with opened as file:
            header: dict[str, str] = file.metadata() or {}
            if (header.get("format"), header.get("key")) != (_FORMAT, key):
                return None
            arrays: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        samples = Samples(
            task_names=tuple(json.loads(header["tasks"])), skipped=int(header["skipped"]), **arrays
        )
        about: dict[str, str] = json.loads(header.get("about", "{}"))
        whole = _content_sha256(samples, about) == header["sha256"]
        return Saved(samples, about) if whole else None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None


def _content_sha256(samples: Samples, about: Mapping[str, str]) -> str:
    """Of all that a file holds; without facts that of the samples alone, as files had it that knew no others."""
    if not about:
        return samples.sha256
    facts = json.dumps(dict(about), sort_keys=True)
    return hashlib.sha256(f"{samples.sha256} {facts}".encode()).hexdigest()
