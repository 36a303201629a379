"""What importance is measured, and what it changes in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize

from lexitrain import export, train
from lexitrain.errors import ModelError
from lexitrain.exporting.exported_model import ExportedModel
from lexitrain.exporting.gguf.importance import importance_of
from lexitrain.exporting.gguf.metadata import About
from lexitrain.exporting.gguf.mixtures import mixture
from lexitrain.exporting.gguf.writing import in_type, write_gguf
from lexitrain.recipe.schema import Recipe
from lexitrain.samples import Sample
from lexitrain.serving import LlamaServer, completion
from tests.exporting.small_bases import save_base, save_lora

DOWN = "model.layers.1.mlp.down_proj.weight"


def samples(*lengths: int) -> list[Sample]:
    drawn = np.random.default_rng(4)
    return [
        Sample(
            drawn.integers(0, 400, size=length).astype(np.int32),
            np.array([3], dtype=np.int32),
            np.ones(1, dtype=bool),
            "grammar",
            0,
        )
        for length in lengths
    ]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 256, so that the types of larger blocks are written."""
    folder = tmp_path_factory.mktemp("importance")
    base = save_base(folder / "base", hidden_size=256, intermediate_size=512, head_dim=64)
    return save_lora(folder / "adapter", base)


def test_importance_is_the_mean_square_of_what_comes_in(adapter: Path) -> None:
    model = ExportedModel.found(adapter, None, (), False)
    shown = samples(9, 17, 4)
    with model.weights() as weights:
        found = importance_of(weights, shown)
        assert {*found} == {each for each in weights.names if each.endswith("proj.weight")}
    reference: Any = model.loaded.model
    modules = dict(reference.named_modules())
    inputs: list[torch.Tensor] = []
    module = next(each for name, each in modules.items() if name.endswith("layers.1.mlp.down_proj"))
    module.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0]))
    with torch.inference_mode():
        for sample in shown:
            reference(torch.from_numpy(sample.token_ids.astype(np.int64))[None])
    assert sum(map(len, inputs)) == 33
    expected = torch.cat(inputs).square().mean(0)
    np.testing.assert_allclose(found[DOWN], expected, rtol=1e-3)


def written(adapter: Path, path: Path, name: str, measured: bool) -> dict[str, Any]:
    model = ExportedModel.found(adapter, None, (), False)
    with model.weights() as weights:
        found = importance_of(weights, samples(60, 40)) if measured else None
        write_gguf(
            path,
            weights,
            model.tokenizer,
            model.renderer.end_of_turn_id,
            mixture(name),
            About("test"),
            importance=found,
        )
    return {each.name: each for each in GGUFReader(path).tensors}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_K_M", "Q3_K_M", "Q4_0"])
def test_it_changes_the_rounding_of_small_types_alone(
    name: str, adapter: Path, tmp_path: Path
) -> None:
    plain = written(adapter, tmp_path / "plain.gguf", name, measured=False)
    better = written(adapter, tmp_path / "better.gguf", name, measured=True)
    changed = {each for each in plain if not np.array_equal(plain[each].data, better[each].data)}
    small = {
        each
        for each, tensor in plain.items()
        if tensor.tensor_type.name not in {"F32", "F16", "BF16", "Q8_0"}
        and each != "token_embd.weight"
    }
    assert changed == small
    assert bool(small) == (name in {"Q4_K_M", "Q3_K_M", "Q4_0"})
    assert [each.tensor_type for each in plain.values()] == [
        each.tensor_type for each in better.values()
    ]
    with LlamaServer(tmp_path / "better.gguf", slots=1, context=128, threads=1) as server:
        assert completion(server, [1, 2, 3], most_tokens=4).tokens


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q4_0"])
def test_what_matters_errs_less(kind: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)
    matter = np.random.default_rng(1).gamma(0.3, size=512).astype(np.float32)

    def error(importance: np.ndarray | None) -> float:
        packed = in_type(numbers, GGMLQuantizationType[kind], "a weight", importance)
        decoded = dequantize(packed, GGMLQuantizationType[kind])
        return float(((decoded - numbers) ** 2 * matter).sum())

    assert error(matter) < 0.9 * error(None)


def test_an_input_that_was_never_seen_keeps_its_weights(adapter: Path, tmp_path: Path) -> None:
    """Where nothing of a block counts, the encoder writes zeros: an answer that needs it would be lost."""
    from transformers import AutoModelForCausalLM

    base = save_base(tmp_path / "base", hidden_size=256, intermediate_size=512, head_dim=64)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.model.layers[1].mlp.up_proj.weight.data[:256] = 0.0
    model.save_pretrained(base)
    with ExportedModel.found(base, None, (), False).weights() as weights:
        found = importance_of(weights, samples(30))[DOWN]
        numbers = weights.tensor(DOWN).numpy()
    packed = in_type(numbers, GGMLQuantizationType.Q4_K, DOWN, found)
    decoded = dequantize(packed, GGMLQuantizationType.Q4_K)
    assert np.abs(decoded[:, :256] - numbers[:, :256]).mean() < 0.05 * np.abs(numbers).mean() * 4


def test_without_the_training_records_it_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not at hand"):
        export(adapter, ["gguf"], out=tmp_path / "out", importance=4)
    assert not [each for each in (tmp_path / "out").rglob("*") if each.is_file()]


@pytest.mark.slow
def test_a_run_measures_on_its_own_training_records(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    run = train(recipe_of(["schedule.epochs=1"]), data_dir, tmp_path / "run").run
    plain = export(run, ["gguf"], quantize=["Q4_0"], out=tmp_path / "plain")
    better = export(run, ["gguf"], quantize=["Q4_0"], out=tmp_path / "better", importance=8)
    assert plain.files[0].bytes == better.files[0].bytes
    assert plain.files[0].path.read_bytes() != better.files[0].path.read_bytes()
