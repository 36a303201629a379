"""A base's identity changes with its weights and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from lexitrain.errors import ModelError
from lexitrain.models.base_identity import base_identity, identity_before_it_was_written
from lexitrain.models.location import resolve_base


def base(path: Path, weights: np.ndarray) -> str:
    path.mkdir(exist_ok=True)
    save_file({"weights": weights}, path / "model.safetensors")
    return str(path)


def test_one_weight_makes_another_base(tmp_path: Path) -> None:
    weights = np.arange(1000, dtype=np.float32)
    before = base_identity(base(tmp_path / "base", weights))
    assert before == base_identity(base(tmp_path / "copy", weights))
    (tmp_path / "copy" / "README.md").write_text("Something else.")
    assert before == base_identity(str(tmp_path / "copy"))
    weights[77] += 1e-3
    assert before != base_identity(base(tmp_path / "base", weights))


def test_large_files_are_told_apart_by_blocks_from_all_over(tmp_path: Path) -> None:
    weights = np.zeros(20_000_000, dtype=np.float32)  # 80 MB
    path = base(tmp_path / "base", weights)
    before = base_identity(path)
    for layer in range(8):  # as training anew does: a whole matrix is another
        changed = weights.copy()
        changed[layer * 2_500_000 : layer * 2_500_000 + 250_000] = 1
        assert base_identity(base(tmp_path / "base", changed)) != before


def test_a_hub_id_is_its_commit_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert base_identity("team/model") is None
    folder = tmp_path / "models--team--model"
    for commit in ("a" * 40, "b" * 40):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text(json.dumps({}))
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)
        assert base_identity("team/model") == f"commit:{commit}"
    assert base_identity("team/model", "a" * 40) == f"commit:{'a' * 40}"


def test_what_has_no_weights_has_no_identity(tmp_path: Path) -> None:
    assert base_identity(str(tmp_path)) is None
    assert base_identity("no name of the hub, surely") is None
    with pytest.raises(ModelError):
        base_identity("./nowhere")


def test_the_nano_base_of_0_1_0_is_known_by_its_weights() -> None:
    from tests.paths import ROOT

    then = ROOT / "tests" / "fixtures" / "written_by_0.1.0" / "nano"
    assert base_identity(str(then)) == identity_before_it_was_written("nano")
    assert base_identity("nano") == base_identity(resolve_base("nano"))
    assert identity_before_it_was_written("team/model") is None
