"""What an error of the disk means, by its number."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lexitrain.errors import InputError, ModelError, Stopped
from lexitrain.storage.disk_errors import disk_errors


def raised(number: int, where: Path, *filename: str) -> None:
    with disk_errors(where):
        raise OSError(number, os.strerror(number), *filename)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_stops(tmp_path: Path, number: int) -> None:
    with pytest.raises(Stopped, match="disk is full") as caught:
        raised(number, tmp_path)
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP]
)
def test_what_is_refused_is_an_input_error_with_the_place(tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match=os.strerror(number)) as caught:
        raised(number, tmp_path)
    assert caught.value.where == str(tmp_path)
    with pytest.raises(InputError) as caught:
        raised(number, tmp_path, "/another/place")
    assert caught.value.where == "/another/place"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EIO, errno.EPIPE])
def test_other_errors_of_the_system_pass(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        raised(number, tmp_path)
    assert caught.value.errno == number


def test_what_packages_tell_in_words_counts_too(tmp_path: Path) -> None:
    """safetensors and tokenizers have errors of their own, with the system's number in the text."""
    from safetensors import SafetensorError

    with pytest.raises(Stopped, match="disk is full"), disk_errors(tmp_path):
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    with pytest.raises(InputError, match=os.strerror(errno.EROFS)), disk_errors(tmp_path):
        raise Exception("Read-only file system (os error 30)")
    with pytest.raises(SafetensorError), disk_errors(tmp_path):
        raise SafetensorError("header too small")
    with pytest.raises(ModelError, match="cannot be read"), disk_errors(tmp_path):
        raise ModelError("It cannot be read: no space (os error 28).")
