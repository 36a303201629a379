"""Damaged inputs of every kind end in a clean message; nothing that lies in a folder is ever executed."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from lexitrain.errors import InputError
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.checkpoints import (
    BrokenCheckpoint,
    Checkpoints,
    canonical,
    read_checkpoint,
)
from lexitrain.training import train
from tests.training.recovery import mutations
from tests.training.recovery.mutations import Material


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material.made(tmp_path_factory.mktemp("material"))


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_a_damaged_input_ends_in_a_clean_message(material: Material, data: st.DataObject) -> None:
    material.damage(data.draw)


@pytest.mark.parametrize("reader", ["read_checkpoint", "state_of"])
def test_a_reader_that_lets_another_error_through_is_found(
    material: Material, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: what is not clean ends in an error of its own."""

    def unclean(*_: object) -> None:
        raise KeyError("a key that nobody checked")

    monkeypatch.setattr(mutations, reader, unclean)

    @seed(1)
    @settings(
        max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def damaged(data: st.DataObject) -> None:
        material.damage(data.draw)

    with pytest.raises(KeyError, match="nobody checked"):
        damaged()


class Trap:
    """When unpickled, makes a file."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> Any:
        return Path.touch, (self._sprung,)


@pytest.fixture
def trap(tmp_path: Path) -> tuple[bytes, Path]:
    """A pickle that makes a file when it is loaded, and that file."""
    sprung = tmp_path / "sprung"
    content = pickle.dumps(Trap(sprung))
    pickle.loads(content)
    assert sprung.exists()
    sprung.unlink()
    return content, sprung


def test_a_planted_pickle_is_never_loaded(
    trap: tuple[bytes, Path],
    tiny_base: Path,
    data_dir: Path,
    tmp_path: Path,
    recipe_of: Callable[..., Recipe],
) -> None:
    content, sprung = trap
    run = tmp_path / "run"
    train(recipe_of(), data_dir, run, stop_after_step=5)
    for folder in (run, run / "cache", run / "checkpoints" / "step-000005", run / "checkpoints"):
        for name in (
            "optimizer.pt",
            "scheduler.pt",
            "training_args.bin",
            "adapter_model.bin",
            "rng_state.pth",
        ):
            (folder / name).write_bytes(content)
    assert train(recipe_of(), data_dir, run).state == "finished"

    adapter = tmp_path / "adapter"
    shutil.copytree(run / "adapter", adapter)
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(content)
    with pytest.raises(InputError, match="adapter weights cannot be read"):
        train(recipe_of([f"model.adapter={adapter}"]), data_dir, tmp_path / "two")

    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(InputError, match="cannot be loaded"):
        train(recipe_of([f"model.base={base}"]), data_dir, tmp_path / "three")
    assert not sprung.exists()


def test_code_in_a_base_is_never_run(
    tiny_base: Path, data_dir: Path, tmp_path: Path, recipe_of: Callable[..., Recipe]
) -> None:
    sprung = tmp_path / "sprung"
    for model_type, refused in (("qwen2", False), ("planted", True)):
        base = tmp_path / model_type
        shutil.copytree(tiny_base, base)
        (base / "planted.py").write_text(f"open({str(sprung)!r}, 'w')\nclass Planted: pass\n")
        for file, entries in (
            (
                "config.json",
                {"AutoConfig": "planted.Planted", "AutoModelForCausalLM": "planted.Planted"},
            ),
            ("tokenizer_config.json", {"AutoTokenizer": ["planted.Planted", "planted.Planted"]}),
        ):
            config = json.loads((base / file).read_text())
            config["auto_map"] = entries
            if file == "config.json":
                config["model_type"] = model_type
            (base / file).write_text(json.dumps(config))
        recipe = recipe_of([f"model.base={base}"])
        if refused:
            with pytest.raises(InputError, match="cannot be loaded"):
                train(recipe, data_dir, tmp_path / f"run-{model_type}")
        else:
            train(recipe, data_dir, tmp_path / f"run-{model_type}", stop_after_step=1)
    assert not sprung.exists()


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, keep=1).save(1, {"adapter.bin": b"x"})
    (tmp_path / "secret").write_bytes(b"x")
    manifest = json.loads((path / "MANIFEST.json").read_bytes())
    del manifest["sha256"]
    manifest["files"]["../secret"] = manifest["files"]["adapter.bin"]
    (path / "MANIFEST.json").write_bytes(canonical(manifest))
    with pytest.raises(BrokenCheckpoint, match="secret"):
        read_checkpoint(path)
