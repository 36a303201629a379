"""Which bases have layers that are known here: by their exact classes, and by what may be changed in them.

What is not recognized keeps its own code, wholly: another class, another activation, dropout, a hook, a quantized
projection, an adapter of another kind, several or merged ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lexitrain.step.decoder_layer.decoder import Decoder, LayerParts
from lexitrain.step.decoder_layer.functions import Norm
from lexitrain.step.decoder_layer.module_state import ModuleState, Traits
from lexitrain.step.decoder_layer.projection_group import Projection, ProjectionGroup
from lexitrain.step.decoder_layer.rotary import Heads

if TYPE_CHECKING:
    from lexitrain.step.decoder_layer.kernels import Kernels
    from lexitrain.step.update.flat_adapter import FlatAdapter

_INPUTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_OUTPUT = ("self_attn.o_proj",)
_GATE_UP = ("mlp.gate_proj", "mlp.up_proj")
_DOWN = ("mlp.down_proj",)
_GROUPS = (_INPUTS, _OUTPUT, _GATE_UP, _DOWN)


def _families() -> dict[type, tuple[type, ...]]:
    """Class of the backbone -> those of a layer, its attention, its feed-forward part, its norms, its rotary tables."""
    from transformers.models.llama import modeling_llama as llama
    from transformers.models.qwen2 import modeling_qwen2 as qwen2
    from transformers.models.qwen3 import modeling_qwen3 as qwen3

    return {
        getattr(module, f"{name}Model"): tuple(
            getattr(module, f"{name}{part}")
            for part in ("DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
        )
        for module, name in ((llama, "Llama"), (qwen2, "Qwen2"), (qwen3, "Qwen3"))
    }


class KnownLayers:
    """The layers of a base as far as they are known.

    Args:
        backbone: the base without its output head.
        flat: the adapter.
        kernels: what layers are computed with.
        dtype: in which the base computes.
    """

    def __init__(
        self, backbone: Any, flat: FlatAdapter, kernels: Kernels, dtype: torch.dtype
    ) -> None:
        self._backbone = backbone
        self._flat = flat
        self._kernels = kernels
        self._dtype = dtype
        self._classes = _families().get(type(backbone))
        self._modules = list(backbone.modules())
        self._state = ModuleState(self._modules)
        self._are_lora = all(map(_is_lora, self._state.adapters))
        self._scales = [dict(each.scaling) for each in self._state.adapters if self._are_lora]
        self._traits: Traits | None = None
        self._plain = False
        self._decoder: Decoder | None = None

    def decoder(self) -> Decoder | None:
        """The layers in few operators; None where something in them is not known. Asked before each step, because what
        a module does can be changed while it lives."""
        if self._classes is None or not self._as_expected():
            return None
        if self._decoder is None:
            self._decoder = self._built()
        return self._decoder

    def _as_expected(self) -> bool:
        if not self._are_lora or self._state.hooked():
            return False
        if any(
            each._backward_hooks or getattr(each, "_post_accumulate_grad_hooks", None)
            for each in self._flat.parameters
        ):
            return False
        traits = self._state.traits()
        if traits != self._traits:  # looked at closely only where something has been changed
            self._traits, adapters = traits, self._state.adapters
            self._plain = all(map(_plain_adapter, adapters)) and self._scales == [
                each.scaling for each in adapters
            ]
        return self._plain

    def _built(self) -> Decoder | None:
        backbone = self._backbone
        if not self._known_parts():
            self._classes = None
            return None
        return Decoder(
            backbone.embed_tokens,
            backbone.rotary_emb,
            [self._parts(layer) for layer in backbone.layers],
            self._norm(backbone.norm),
            self._flat,
            self._kernels,
            self._dtype,
        )

    def _known_parts(self) -> bool:
        assert self._classes is not None
        from transformers.activations import SiLUActivation

        layer_class, attention, feed_forward, norm, rotary = self._classes
        backbone, config = self._backbone, self._backbone.config
        layers = list(backbone.layers)
        if type(backbone.rotary_emb) is not rotary or len(layers) != config.num_hidden_layers:
            return False
        if type(backbone.embed_tokens) is not nn.Embedding or backbone.embed_tokens.max_norm:
            return False
        known = all(
            type(layer) is layer_class
            and type(layer.self_attn) is attention
            and type(layer.mlp) is feed_forward
            and not layer.self_attn.attention_dropout
            and type(layer.mlp.act_fn) in (nn.SiLU, SiLUActivation)
            and 2 * len(backbone.rotary_emb.inv_freq) == layer.self_attn.head_dim
            and all(self._known_group(layer, names) for names in _GROUPS)
            for layer in layers
        )
        norms = [each for each in self._modules if type(each).__name__.endswith("Norm")]
        return (
            known
            and all(type(each) is norm and self._frozen(each.weight) for each in norms)
            and self._covers_the_adapter()
        )

    def _frozen(self, parameter: torch.Tensor) -> bool:
        return parameter.dtype == self._dtype and not parameter.requires_grad

    def _known_group(self, layer: Any, names: Sequence[str]) -> bool:
        projections = [_projection(layer.get_submodule(name)) for name in names]
        if any(each is None for each in projections):
            return False
        linears = [each.linear for each in projections if each is not None]
        scales = {each.scale for each in projections if each is not None and each.down is not None}
        biased = {each.bias is not None for each in linears}
        frozen = [each.weight for each in linears] + [
            each.bias for each in linears if each.bias is not None
        ]
        return len(scales) < 2 and len(biased) == 1 and all(map(self._frozen, frozen))

    def _covers_the_adapter(self) -> bool:
        """Whether all that is trained lies in the projections of the layers."""
        names = [name for group in _GROUPS for name in group]
        found = [
            _projection(layer.get_submodule(name))
            for layer in self._backbone.layers
            for name in names
        ]
        held = {id(part) for each in found if each is not None for part in (each.down, each.up)}
        return {id(each) for each in self._flat.parameters} == held - {id(None)}

    def _parts(self, layer: Any) -> LayerParts:
        attention = layer.self_attn
        config = attention.config
        heads = Heads(config.num_attention_heads, config.num_key_value_heads, attention.head_dim)
        if hasattr(attention, "q_norm"):
            heads.epsilon = attention.q_norm.variance_epsilon
            heads.query_weight, heads.key_weight = attention.q_norm.weight, attention.k_norm.weight
        inputs, output, gate_up, down = (
            ProjectionGroup(
                list(_projections(layer, names)),
                self._flat,
                self._kernels,
            )
            for names in _GROUPS
        )
        return LayerParts(
            own=layer,
            heads=heads,
            window=getattr(attention, "sliding_window", None),
            scale=attention.scaling,
            first=self._norm(layer.input_layernorm),
            second=self._norm(layer.post_attention_layernorm),
            inputs=inputs,
            output=output,
            gate_up=gate_up,
            down=down,
        )

    def _norm(self, module: Any) -> Norm:
        return Norm(module.weight, module.variance_epsilon, self._kernels)


def _projections(layer: Any, names: Sequence[str]) -> Iterator[Projection]:
    for name in names:
        found = _projection(layer.get_submodule(name))
        assert found is not None
        yield found


def _projection(module: Any) -> Projection | None:
    """A plain linear layer, adapted or not; None for anything else."""
    if type(module) is nn.Linear:
        return Projection(module)
    if not _plain_adapter(module):
        return None
    (name,) = module.active_adapters
    return Projection(
        module.base_layer,
        module.lora_A[name].weight,
        module.lora_B[name].weight,
        module.scaling[name],
    )


def _is_lora(module: Any) -> bool:
    from peft.tuners.lora.layer import Linear

    return type(module) is Linear


def _plain_adapter(module: Any) -> bool:
    """Whether a module is a plain LoRA over a plain linear layer, on and not merged."""
    if not _is_lora(module) or type(module.base_layer) is not nn.Linear:
        return False
    active = module.active_adapters
    if len(active) != 1 or active[0] not in module.lora_A or len(module.lora_A) != 1:
        return False
    down: Any = module.lora_A[active[0]]
    up: Any = module.lora_B[active[0]]
    return bool(
        not module.disable_adapters
        and not module.merged
        and not module.lora_variant
        and not module.fan_in_fan_out
        and type(module.lora_dropout[active[0]]) is nn.Identity
        and type(down) is type(up) is nn.Linear
        and down.bias is None
        and up.bias is None
        and down.weight.requires_grad
        and up.weight.requires_grad
    )
