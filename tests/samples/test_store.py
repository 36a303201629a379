"""Tokenized samples in arrays, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lexitrain.samples.sample import Sample
from lexitrain.samples.store import Samples, collect, read_saved


def sample(task: str, prompt: int, completion: int, index: int, truncated: bool = False) -> Sample:
    return Sample(
        prompt_ids=np.arange(prompt, dtype=np.int32) + 100 * index,
        completion_ids=np.arange(completion, dtype=np.int32) + 7,
        supervised=np.arange(completion) % 2 == 0,
        task=task,
        index=index,
        truncated=truncated,
    )


MADE = [sample("grammar", 5, 3, 0), sample("fluency", 1, 1, 2, True), sample("grammar", 9, 4, 7)]


def same(one: Sample, other: Sample) -> bool:
    return (
        one.prompt_ids.tolist() == other.prompt_ids.tolist()
        and one.completion_ids.tolist() == other.completion_ids.tolist()
        and one.supervised.tolist() == other.supervised.tolist()
        and (one.task, one.index, one.truncated) == (other.task, other.index, other.truncated)
    )


@pytest.fixture
def samples() -> Samples:
    return collect([MADE[0], None, MADE[1], MADE[2], None])


def test_samples_come_back_as_they_were(samples: Samples) -> None:
    assert len(samples) == 3
    assert samples.skipped == 2
    assert all(same(one, other) for one, other in zip(samples, MADE, strict=True))
    assert same(samples[1:][0], MADE[1])
    assert samples.lengths.tolist() == [8, 2, 13]
    assert samples.tasks == ["grammar", "fluency", "grammar"]
    assert len(collect([])) == 0


def test_the_file_gives_the_same_samples_under_the_same_key(
    samples: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "train.safetensors"
    samples.save(path, "key")
    found = read_saved(path, "key")
    assert found is not None
    assert found.samples.sha256 == samples.sha256
    assert all(same(one, other) for one, other in zip(found.samples, MADE, strict=True))
    assert read_saved(path, "other key") is None
    assert read_saved(tmp_path / "missing", "key") is None


def test_a_damaged_file_is_not_used(samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "train.safetensors"
    samples.save(path, "key")
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        found = read_saved(path, "key")
        # A flip in the JSON header may leave its meaning as it was; what is read is then what was saved.
        assert found is None or found.samples.sha256 == samples.sha256
    path.write_bytes(content[:-1])
    assert read_saved(path, "key") is None


def test_the_hash_sees_every_part(samples: Samples) -> None:
    hashes = {samples.sha256}
    for other in (
        collect([MADE[0], MADE[1], MADE[2]]),
        collect([MADE[0], MADE[2], MADE[1], None, None]),
        collect([sample("dialogue", 5, 3, 0), MADE[1], MADE[2], None, None]),
        collect([sample("grammar", 6, 2, 0), MADE[1], MADE[2], None, None]),
    ):
        hashes.add(other.sha256)
    assert len(hashes) == 5


def test_facts_are_kept_with_samples_and_guarded_like_them(
    samples: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "cache.safetensors"
    samples.save(path, "key", {"records": "40", "why": "“no network”"})
    found = read_saved(path, "key")
    assert found is not None
    assert found.about == {"records": "40", "why": "“no network”"}
    assert found.samples.sha256 == samples.sha256
    path.write_bytes(path.read_bytes().replace(b'\\"40\\"', b'\\"41\\"'))
    assert read_saved(path, "key") is None
    samples.save(path, "key")
    plain = read_saved(path, "key")
    assert plain is not None
    assert plain.about == {}
