"""Shapes of base models: built in, from a folder, and what is said about an unknown one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lexitrain.errors import InputError
from lexitrain.models.architecture import architecture_of, built_in

PUBLISHED = {
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
}
"""Parameters of each built-in model, as published; a tied output head counts once."""


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_shape_has_the_published_number_of_parameters(name: str) -> None:
    from transformers import AutoModelForCausalLM

    architecture = architecture_of(f"{name}-Instruct")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture.transformers_config())
    assert sum(each.numel() for each in model.parameters()) == PUBLISHED[name]


def test_a_folder_needs_only_its_config(tmp_path: Path) -> None:
    shape = {**architecture_of("nano").config, "hidden_size": 96}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    architecture = architecture_of(str(tmp_path))
    assert (architecture.decoder.hidden, architecture.decoder.layers) == (96, 5)
    config = architecture.transformers_config(layers=2)
    assert (config.num_hidden_layers, len(config.layer_types)) == (2, 2)


def test_names_of_one_shape_share_its_fingerprint() -> None:
    base, instruct = (architecture_of(f"Qwen/Qwen2.5-0.5B{end}") for end in ("", "-Instruct"))
    assert base.fingerprint == instruct.fingerprint
    assert base.fingerprint != architecture_of("Qwen/Qwen2.5-1.5B").fingerprint


def test_an_unknown_id_without_a_network_names_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError) as error:
        architecture_of("Qwen/Qwen2.5-0.6B-Instruct")
    assert error.value.exit_code == 2
    assert "Did you mean Qwen/Qwen2.5-0.5B-Instruct?" in str(error.value)
    assert all(name in str(error.value) for name in built_in())
    assert "local folder" in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "no config.json"), ("{", "JSON"), ("{}", "hidden_size")]
)
def test_a_folder_without_a_usable_config_is_refused(
    content: str | None, told: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=told):
        architecture_of(str(tmp_path))
