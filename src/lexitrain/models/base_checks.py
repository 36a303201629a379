"""What a base must be, before and after it is loaded, so that training it means what its name says; and the packages
that put an adapter on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import InputError, ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_MOSTLY = 0.9
"""Share of the decoder's weights that have to take 4 bits in a base that is said to."""


def require_usable_packages() -> None:
    """Nothing, where PEFT can put an adapter on a base beside the packages that are installed here.

    It asks for torchao wherever that is installed, although nothing here uses it, and refuses an older one: the state
    in which notebook machines come.

    Raises:
        InputError: PEFT refuses one of them.
    """
    from peft.import_utils import is_torchao_available

    try:
        is_torchao_available()
    except ImportError as error:
        raise InputError(
            f"PEFT cannot be used beside the installed torchao. {error}",
            where="torchao",
            fix="Remove it (pip uninstall -y torchao), which nothing here uses, or renew it: pip install -U torchao",
        ) from error


def require_plain_base(config: PretrainedConfig, base: str) -> None:
    """Nothing, for a base of text alone whose weights are numbers.

    Raises:
        ModelError: it is stored quantized, or takes other input than text.
    """
    stored = getattr(config, "quantization_config", None)
    if stored:
        fields: Any = stored if isinstance(stored, dict) else vars(stored)
        method = getattr(fields.get("quant_method"), "value", fields.get("quant_method"))
        raise ModelError(
            f"The base {base} is stored quantized ({method}).",
            where="model.base",
            fix="Use the base that it was made from; model.quantization=nf4 stores that in 4 bits while it trains.",
        )
    if config.get_text_config() is not config:
        raise ModelError(
            f"The base {base} takes other input than text ({config.model_type}).",
            where="model.base",
            fix="Use a base of text alone, or the text model of this one, saved in a folder of its own.",
        )


def require_all_weights(info: Any, base: str) -> None:
    """Nothing, when all of a base's weights were in its files.

    Args:
        info: what transformers says of the loading.

    Raises:
        ModelError: some were missing or of another shape, and are random now.
    """
    found = info if isinstance(info, dict) else vars(info)
    missing = sorted(found.get("missing_keys") or ())
    mismatched = sorted(str(each[0]) for each in found.get("mismatched_keys") or ())
    if missing or mismatched:
        names = [*missing, *mismatched]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ModelError(
            f"The files of the base {base} lack weights that its configuration asks for: {', '.join(names[:3])}{more}. "
            "They would be random.",
            where="model.base",
            fix="Get the base's files anew; config.json and the safetensors files must be of one model.",
        )


def require_4_bits(model: Any, base: str) -> None:
    """Nothing, when bitsandbytes has packed the base. It packs plain linear layers; what a family computes by layers of
    its own it leaves as it is.

    Raises:
        ModelError: much of it is left whole.
    """
    head = model.get_output_embeddings()
    apart = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding) or module is head
    }
    packed = whole = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            packed += state.shape.numel()
        elif parameter.ndim > 1 and id(parameter) not in apart:
            whole += parameter.numel()
    if packed < _MOSTLY * (packed + whole):
        raise ModelError(
            f"Of this base's layers bitsandbytes packs {packed / max(1, packed + whole):.0%} into 4 bits; the others "
            "are of a kind that it leaves as they are.",
            where=base,
            fix="Use model.quantization=none.",
        )


def require_known_tokens(model: Any, highest: int) -> None:
    """Nothing, when the base has an embedding for every token that is used.

    Args:
        model: a base, or one that PEFT has wrapped.
        highest: number of a token.

    Raises:
        ModelError: it has none, as where tokens were added to a tokenizer and not to the base.
    """
    rows = len(model.get_input_embeddings().weight)
    if highest >= rows:
        raise ModelError(
            f"The tokenizer writes token {highest}, and the base has embeddings for 0 to {rows - 1} only.",
            where="model.base",
            fix="Use the tokenizer that belongs to the base: tokens that were added to one are missing in the other.",
        )
