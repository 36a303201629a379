"""What is not wholly known keeps its own code; what is known is left as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from torch import nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP

from lexitrain.models import load_base
from lexitrain.models.principal_start import hold_back, principal_factors
from lexitrain.recipe.schema import ModelSection
from lexitrain.step import TrainingStep, require_plain_loss
from tests.step.decoder_layer.bases import KINDS, adapted, found_by, step_of
from tests.step.decoder_layer.test_equal_layers import assert_equal
from tests.step.test_equality import random_samples, training_step
from tests.tiny import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def layer_of(model: Any, number: int = 1) -> Any:
    return model.get_base_model().model.layers[number]


def hooked(model: Any) -> None:
    layer_of(model).mlp.register_forward_hook(lambda _module, _args, output: 2 * output)


def hooked_gradient(model: Any) -> None:
    layer_of(model).mlp.up_proj.lora_A["default"].weight.register_hook(lambda each: 2 * each)


def other_class(model: Any) -> None:
    class Mine(Qwen2MLP):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + x

    layer_of(model).mlp.__class__ = Mine


def own_forward(model: Any) -> None:
    norm = layer_of(model).input_layernorm
    plain = norm.forward
    norm.forward = lambda hidden: 2 * plain(hidden)


def disabled(model: Any) -> None:
    layer_of(model).mlp.up_proj.enable_adapters(False)


def merged(model: Any) -> None:
    layer_of(model).mlp.up_proj.merge()


def two_adapters(model: Any) -> None:
    model.add_adapter("second", LoraConfig(r=2, target_modules=["up_proj"]))


def dropped(model: Any) -> None:
    layer_of(model).mlp.up_proj.lora_dropout["default"] = nn.Dropout(0.5)


def dropped_attention(model: Any) -> None:
    layer_of(model).self_attn.attention_dropout = 0.5


def trained_norm(model: Any) -> None:
    layer_of(model).input_layernorm.weight.requires_grad_(True)


def other_scales(model: Any) -> None:
    layer_of(model).mlp.up_proj.scaling["default"] = 0.5


def other_activation(model: Any) -> None:
    layer_of(model).mlp.act_fn = nn.GELU()


def of_another_dtype(model: Any) -> None:
    layer_of(model).mlp.up_proj.base_layer.double()


@pytest.mark.parametrize(
    "change",
    [
        hooked, hooked_gradient, other_class, own_forward, disabled, merged, two_adapters, dropped, dropped_attention,
        trained_norm, other_scales, other_activation, of_another_dtype,
    ],
)  # fmt: skip
def test_a_changed_layer_keeps_its_own_code(change: Any) -> None:
    model = adapted("qwen2")
    change(model)
    assert not step_of(model, layout="tree").known_layers


@pytest.mark.parametrize(
    "change",
    [
        hooked, hooked_gradient, own_forward, disabled, dropped, merged, other_scales,
    ],
)  # fmt: skip
def test_what_is_changed_after_the_first_step_counts_from_the_next(change: Any) -> None:
    samples = random_samples(0)
    step = step_of(adapted("qwen2"), layout="tree")
    assert step.known_layers
    found_by(step, samples)
    change(step.model)
    assert not step.known_layers
    changed = step_of(adapted("qwen2"), layout="tree")
    change(changed.model)
    if change is not dropped:  # which draws
        assert found_by(step, samples)[0] == pytest.approx(found_by(changed, samples)[0], rel=1e-6)


def test_what_is_switched_off_and_on_again_is_known_again() -> None:
    step = step_of(adapted("qwen2"), layout="tree")
    first = step.decoder
    projection = layer_of(step.model).mlp.up_proj
    for _ in range(2):
        projection.enable_adapters(False)
        assert not step.known_layers
        projection.enable_adapters(True)
        assert step.decoder is first


def test_looking_whether_anything_has_changed_asks_no_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Modules answer for their parts in Python: thousands of such questions are milliseconds before every step."""
    step = step_of(adapted("qwen2"), layout="tree")
    assert step.known_layers
    asked: list[str] = []
    plain = nn.Module.__getattr__
    monkeypatch.setattr(
        nn.Module, "__getattr__", lambda self, name: asked.append(name) or plain(self, name)
    )
    assert step.known_layers
    assert not asked


def test_dropout_and_a_quantized_base_keep_their_own_code(tmp_path: Path) -> None:
    assert not step_of(adapted("qwen2", dropout=0.1), layout="tree").known_layers
    pytest.importorskip("bitsandbytes")
    tiny_model(hidden=128).save_pretrained(tmp_path)
    base = load_base(
        ModelSection(base=str(tmp_path), quantization="nf4"),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    from lexitrain.models import attach_adapter
    from lexitrain.recipe.schema import LoraSection

    step = training_step(attach_adapter(base, LoraSection(rank=4, alpha=8), seed=3), layout="tree")
    assert not step.known_layers


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_what_it_was(kind: str, tmp_path: Path) -> None:
    """Its weights by name, what it computes by its own code, what it generates, and what it saves."""
    untouched, model = adapted(kind), adapted(kind)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    tokens = torch.arange(2, 40)[None]
    step = step_of(model, layout="tree")
    step.gradients(random_samples(0))
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for each in (model, untouched):
        each.eval()
    options: Any = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 1}
    with torch.no_grad():
        assert torch.equal(
            untouched.generate(input_ids=tokens, **options),
            model.generate(input_ids=tokens, **options),
        )
    for name, each in (("one", untouched), ("two", model)):
        each.get_base_model().save_pretrained(tmp_path / name)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_one_copy_of_the_weights_is_there() -> None:
    """Stacked matrices are the base's own, not a second set."""
    model = adapted("qwen2")
    before = sum(each.numel() for each in model.get_base_model().parameters())
    step_of(model, layout="tree").gradients(random_samples(0))
    storages = {
        each.untyped_storage()._cdata: each.untyped_storage().nbytes()
        for each in model.get_base_model().parameters()
    }
    assert sum(storages.values()) == 4 * before


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_weights_that_change_later_are_seen(init: str) -> None:
    """An adapter that is taken out of the base after the step was built, and weights loaded anew."""
    model = adapted("qwen2")
    step = step_of(model, layout="tree")
    step.gradients(random_samples(0))
    hold_back(model, principal_factors(model, init))
    assert_equal(step, random_samples(0))
    with torch.no_grad():
        for each in model.parameters():
            each.data = each.data * 0.9
    step.own_layers = False
    assert_equal(step, random_samples(1))


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_layers_that_differ_from_the_bases_own_code_are_not_used(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lexitrain.step.decoder_layer.rotary import Rotary

    step: TrainingStep = step_of(adapted(kind), layout="tree")
    require_plain_loss(step)
    assert step.known_layers
    monkeypatch.setattr(Rotary, "turn_", lambda _self, states: states.mul_(0.5))
    require_plain_loss(step)
    assert not step.known_layers
    assert step.gradients(random_samples(0)).loss == pytest.approx(
        step_of_own(kind).gradients(random_samples(0)).loss, rel=1e-6
    )


def step_of_own(kind: str) -> TrainingStep:
    step = step_of(adapted(kind), layout="tree")
    step.own_layers = True
    return step
