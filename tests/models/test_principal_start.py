"""How adapters begin: the base's own output at first, PEFT's own numbers, and a plain adapter when saved."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from lexitrain.errors import ModelError
from lexitrain.models import attach_adapter, hold_back, load_adapter, principal_factors, rest_file
from lexitrain.models.adapter import adapter_weights, put_weights_of_run, save_adapter
from lexitrain.recipe.schema import PROJECTIONS, LoraSection
from tests.tiny import tiny_model

# PEFT asks transformers for a property that has a new name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

TOKENS = torch.arange(16)[None]
INITS = ("default", "orthogonal", "pissa", "olora")
PRINCIPAL = ("pissa", "olora")
SCALINGS = ("standard", "rslora")
LAYERS = ((), (1,))


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS, use_cache=False).logits


def settings(init: str, scaling: str = "standard", layers: tuple[int, ...] = (), **more: Any):
    return LoraSection(
        rank=4,
        alpha=8,
        init=init,  # pyright: ignore[reportArgumentType]
        scaling=scaling,  # pyright: ignore[reportArgumentType]
        layers=layers,
        **more,
    )


def move(model: torch.nn.Module, size: float = 0.02) -> None:
    """As training would, without training."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(size * torch.randn(parameter.shape, generator=generator))


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize(("init", "scaling", "layers"), [*product(INITS, SCALINGS, LAYERS)])
def test_what_is_saved_does_to_the_untouched_base_what_was_trained(
    init: str, scaling: str, layers: tuple[int, ...], tmp_path: Path
) -> None:
    lora = settings(init, scaling, layers)
    untouched = logits(tiny_model())
    model = attach_adapter(tiny_model(), lora, seed=3)
    assert far(logits(model), untouched) < 1e-5
    move(model)
    trained = logits(model)
    assert far(trained, untouched) > 1e-2
    save_adapter(model, tmp_path, "tiny")
    stock = PeftModel.from_pretrained(tiny_model(), str(tmp_path))
    assert far(trained, logits(stock)) < 1e-5
    assert far(trained, logits(load_adapter(tiny_model(), tmp_path))) < 1e-5
    assert far(trained, logits(stock.merge_and_unload())) < 1e-5
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["r"] == (8 if init in PRINCIPAL else 4)
    assert saved["init_lora_weights"] is True
    adapted = {int(name.split(".layers.")[1].split(".")[0]) for name in adapter_weights(model)}
    assert adapted == set(layers or (0, 1))


@pytest.mark.parametrize(("init", "scaling", "layers"), [*product(PRINCIPAL, SCALINGS, LAYERS)])
def test_adapter_and_base_begin_with_the_numbers_of_peft(
    init: str, scaling: str, layers: tuple[int, ...]
) -> None:
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=list(PROJECTIONS),
        use_rslora=scaling == "rslora",
        init_lora_weights=init,  # pyright: ignore[reportArgumentType]
        layers_to_transform=list(layers) or None,
    )
    theirs = get_peft_model(tiny_model(), config).state_dict()
    ours = attach_adapter(tiny_model(), settings(init, scaling, layers), seed=3).state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


@pytest.mark.filterwarnings("ignore:PiSSA changes the base weights:UserWarning")
def test_what_is_saved_is_what_peft_converts(tmp_path: Path) -> None:
    """The product of the saved matrices is that of PEFT's own conversion, whose matrices are others."""
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=list(PROJECTIONS), init_lora_weights="pissa"
    )
    theirs = get_peft_model(tiny_model(), config)
    theirs.peft_config["default"].init_lora_weights = True
    theirs.save_pretrained(str(tmp_path / "start"))
    theirs.peft_config["default"].init_lora_weights = "pissa"
    ours = attach_adapter(tiny_model(), settings("pissa"), seed=3)
    for model in (theirs, ours):
        move(model)
    theirs.save_pretrained(
        str(tmp_path / "theirs"), path_initial_model_for_weight_conversion=str(tmp_path / "start")
    )
    save_adapter(ours, tmp_path / "ours", "tiny")
    one, other = (
        logits(PeftModel.from_pretrained(tiny_model(), str(tmp_path / name)))
        for name in ("theirs", "ours")
    )
    assert far(one, other) < 1e-5


@pytest.mark.parametrize("init", PRINCIPAL)
def test_in_half_precision_the_saved_adapter_is_as_near_as_the_dtype_allows(
    init: str, tmp_path: Path
) -> None:
    """What bf16 does to any model: the distance between the same plain adapter in bf16 and in fp32."""
    model = attach_adapter(tiny_model().to(torch.bfloat16), settings(init), seed=3)
    move(model)
    save_adapter(model, tmp_path, "tiny")
    half = logits(load_adapter(tiny_model().to(torch.bfloat16), tmp_path)).float()
    full = logits(load_adapter(tiny_model().to(torch.bfloat16).float(), tmp_path))
    assert far(full, logits(model).float()) < 4 * far(full, half)


@pytest.mark.parametrize("init", PRINCIPAL)
def test_a_checkpoint_gives_adapter_and_base_back_bit_for_bit(init: str, tmp_path: Path) -> None:
    from safetensors.torch import load, load_file

    model = attach_adapter(tiny_model(), settings(init), seed=3)
    move(model)
    save_adapter(model, tmp_path, "tiny")
    rest = rest_file(model)
    assert rest is not None
    again = attach_adapter(tiny_model(), settings(init), seed=99, begin=False)
    file = tmp_path / "adapter_model.safetensors"
    put_weights_of_run(again, load_file(file), load(rest), file)
    before, after = model.state_dict(), again.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert rest_file(again) == rest
    with pytest.raises(ValueError, match="already"):
        hold_back(again, principal_factors(again, init))
    other = attach_adapter(tiny_model(), LoraSection(rank=2, init=init), seed=0, begin=False)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelError, match="does not fit"):
        put_weights_of_run(other, load_file(file), load(rest), file)
    with pytest.raises(ModelError, match="does not fit"):
        put_weights_of_run(other, load_file(file), {}, file)


def test_an_orthogonal_start_depends_on_the_seed_alone_and_its_product_is_zero() -> None:
    one, same, other = (
        adapter_weights(attach_adapter(tiny_model(), settings("orthogonal"), seed=seed))
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    for name, a in one.items():
        if "lora_A" in name:
            b = one[name.replace("lora_A", "lora_B")]
            assert float(b.abs().max()) > 0.01
            assert float((b @ a).abs().max()) < 1e-6


def test_what_cannot_begin_in_the_bases_directions_is_refused() -> None:
    with pytest.raises(ModelError, match="too small for rank 64") as caught:
        attach_adapter(tiny_model(), LoraSection(rank=64, init="pissa"), seed=0)
    assert caught.value.where == "lora.rank"
    base = tiny_model()
    base.model.layers[1].self_attn.q_proj.weight = base.model.layers[0].self_attn.q_proj.weight
    with pytest.raises(ModelError, match="in another place too"):
        attach_adapter(base, settings("olora"), seed=0)


def test_layers_that_the_base_does_not_have_are_refused() -> None:
    with pytest.raises(ModelError, match="2 decoder layers, 0 to 1, and no layer 5") as caught:
        attach_adapter(tiny_model(), settings("default", layers=(0, 5)), seed=0)
    assert caught.value.where == "lora.layers"


@pytest.mark.parametrize(
    ("changed", "where"),
    [({"scaling": "rslora"}, "lora.scaling"), ({"layers": (1,)}, "lora.layers")],
)
def test_an_adapter_to_start_from_has_the_recipes_scaling_and_layers(
    changed: dict[str, Any], where: str, tmp_path: Path
) -> None:
    lora = LoraSection(rank=4, alpha=8, **changed)
    model = attach_adapter(tiny_model(), lora, seed=0)
    move(model)
    save_adapter(model, tmp_path, "tiny")
    started = attach_adapter(tiny_model(), lora, seed=5, start=tmp_path)
    assert torch.equal(logits(model), logits(started))
    with pytest.raises(ModelError, match=where):
        attach_adapter(tiny_model(), LoraSection(rank=4, alpha=8), seed=0, start=tmp_path)
