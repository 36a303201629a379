"""What a storage error means, by its kind and by whether steps are being done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lexitrain.errors import InputError, LexiTrainError, Stopped
from lexitrain.runs.disk_errors import storage_errors
from lexitrain.runs.folder import Run


def meaning(run: Path, number: int, where: Path | None, *, training: bool) -> LexiTrainError:
    """The error that a user meets."""
    error = OSError(number, os.strerror(number), *([str(where)] if where else []))
    with pytest.raises(LexiTrainError) as caught, storage_errors(Run(run), training=training):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    "number", [errno.EROFS, errno.EACCES, errno.ENOTCONN, errno.EIO, errno.ESTALE, errno.ENOENT]
)
def test_a_folder_that_is_lost_while_training_stops_the_run(number: int, tmp_path: Path) -> None:
    for where in (None, tmp_path / "events.jsonl"):
        error = meaning(tmp_path, number, where, training=True)
        assert isinstance(error, Stopped)
        assert "can no longer be written" in error.what


@pytest.mark.parametrize("training", [False, True])
def test_a_full_disk_always_stops_the_run(tmp_path: Path, training: bool) -> None:
    assert isinstance(meaning(tmp_path, errno.ENOSPC, None, training=training), Stopped)


def test_before_training_it_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    assert isinstance(meaning(tmp_path, errno.EACCES, tmp_path, training=False), InputError)
    other = meaning(tmp_path / "run", errno.EACCES, tmp_path / "data", training=True)
    assert isinstance(other, InputError)
    assert "data" in str(other)


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(Run(tmp_path), training=True):
        raise FileNotFoundError(errno.ENOENT, "gone", "/somewhere/else")
