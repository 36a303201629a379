"""A build is one process: under a launcher it is refused before anything is written, with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain import Choices, build
from lexitrain.errors import InputError


def test_a_launcher_of_several_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    out = tmp_path / "tutor"
    with pytest.raises(InputError, match=r"one process.*started 2") as told:
        build(Choices(("records.jsonl",), out, recipe="demo"))
    assert f"torchrun --nproc-per-node 2 -m lexitrain -- train --recipe {out}/recipe.yaml" in str(
        told.value
    )
    assert not out.exists()


def test_a_launcher_that_counts_in_words_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(InputError, match=r"WORLD_SIZE.*'two'"):
        build(Choices(("records.jsonl",), tmp_path / "tutor", recipe="demo"))


def test_a_launcher_of_one_process_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(InputError, match="records"):
        build(Choices((), tmp_path / "tutor", recipe="demo"))
