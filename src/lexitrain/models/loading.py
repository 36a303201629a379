"""The frozen base model and its tokenizer: where they are, and in which numbers they are loaded.

The base is stored in the compute precision: autocast over another one would keep a cast copy of every weight. With
`quantization: nf4` the decoder's matrices take 4 bits and a little (NF4 with double quantization, Dettmers et al. 2023,
arXiv:2305.14314).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import MissingExtra, ModelError
from lexitrain.models.attention.backend import with_its_attention
from lexitrain.models.base_checks import require_4_bits, require_all_weights, require_plain_base
from lexitrain.models.location import resolve_base
from lexitrain.models.precision import compute_precision, torch_dtype
from lexitrain.models.without_network import without_network
from lexitrain.samples import ChatTemplate
from lexitrain.storage import hub_answers

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from lexitrain.recipe import ModelSection


def load_tokenizer(base: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The base's own tokenizer, with a chat template and a pad token that is not the one that ends a turn.

    Here padding is known by where it stands. But who trains on with the saved tokenizer may leave all pad tokens out of
    the loss, and were they the end of turn the model would forget to stop.

    Raises:
        ModelError: the tokenizer cannot be had, has no chat template that can be trained with, or no token to pad with.
    """
    from transformers import AutoTokenizer

    source = resolve_base(base)
    with _had_from(base):
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=False, **_where_to_look(source)
        )
    template = ChatTemplate(tokenizer, date.today())
    end = tokenizer.convert_tokens_to_ids(template.end_of_turn)
    if tokenizer.pad_token_id in (None, end):
        tokenizer.pad_token = _pad_token(tokenizer, template.end_of_turn, base)
    return tokenizer


def _pad_token(tokenizer: Any, end_of_turn: str, base: str) -> str:
    """A special token other than the end of turn, for a tokenizer that names none."""
    named = ("<|endoftext|>", "<pad>", "[PAD]", tokenizer.unk_token, tokenizer.bos_token)
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    for token in (*named, tokenizer.eos_token, *special):
        if token in tokenizer.get_vocab() and token != end_of_turn:
            return str(token)
    raise ModelError(
        f"The tokenizer of {base} has no special token to pad with besides its end of turn.",
        where="model.base",
        fix="Set pad_token in its tokenizer_config.json to a special token that text never holds.",
    )


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype for a recipe's `model.precision` on a device, see `compute_precision`."""
    on_gpu = device.type == "cuda"
    capability = torch.cuda.get_device_capability(device) if on_gpu else None
    return torch_dtype(compute_precision(precision, capability))


def load_base(
    settings: ModelSection, *, device: torch.device | str, dtype: torch.dtype
) -> PreTrainedModel:
    """The base model, frozen, in evaluation mode, on `device`.

    Args:
        settings: the recipe's `model` section. `quantization: auto` means none.
        device: where the weights go.
        dtype: of the weights and of the computation, see `compute_dtype`.

    Raises:
        ModelError: the model cannot be had or is of a kind transformers does not know.
        MissingExtra: `nf4` without bitsandbytes.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    leave_cudnn_attention(torch.device(device))
    source = resolve_base(settings.base)
    options: dict[str, Any] = {}
    looked_up = _where_to_look(source)
    if settings.quantization == "nf4":
        options = {"quantization_config": _nf4(dtype), "device_map": {"": device}}
    with _had_from(settings.base), _no_progress_bars():
        config = AutoConfig.from_pretrained(
            source, revision=settings.revision, trust_remote_code=False, **looked_up
        )
        require_plain_base(config, settings.base)
        from_pretrained: Any = AutoModelForCausalLM.from_pretrained
        model, info = with_its_attention(
            lambda attention: from_pretrained(
                source,
                revision=settings.revision,
                dtype=dtype,
                attn_implementation=attention,
                trust_remote_code=False,
                use_safetensors=True,  # the other format is a pickle, which can run code
                ignore_mismatched_sizes=True,  # they are told below, by name
                output_loading_info=True,
                **looked_up,
                **options,
            )
        )
    require_all_weights(info, settings.base)
    if options:
        require_4_bits(model, settings.base)
        _keep_trainable(model)
    else:
        model.to(device)
    return model.requires_grad_(False).eval()


def leave_cudnn_attention(device: torch.device) -> None:
    """Let a GPU compute attention by PyTorch's own kernels, in this process.

    On compute capability 9.0 PyTorch prefers cuDNN's, which plans every pair of batch and length anew, for longer than
    the attention takes: generation has a new length at every token, training one at every cut.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)


def _nf4(dtype: torch.dtype) -> Any:
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "train")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _keep_trainable(model: Any) -> None:
    """On a CPU, bitsandbytes repacks a 4-bit layer for inference at its first call without gradients, in place, and the
    repacked layer has no backward pass: a validation before the first step would end the training.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def _where_to_look(source: str) -> dict[str, Any]:
    """Options of `from_pretrained`: a Hub that does not answer is not asked again for each file."""
    if Path(source).is_dir() or hub_answers():
        return {}
    return {"local_files_only": True}


@contextmanager
def _had_from(base: str) -> Iterator[None]:
    """Say in one sentence what transformers and the Hub say in many when a base cannot be had."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except StrictDataclassError as error:
        raise ModelError(
            f"The configuration of the base model {base} contradicts itself: {' '.join(str(error).split())}",
            where="model.base",
            fix="config.json and the safetensors files must be of one model, as transformers saves it.",
        ) from error
    except (OSError, ValueError, ImportError) as error:  # the Hub's errors are OSErrors
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"The base model {base} cannot be loaded: {reason}",
            where="model.base",
            fix=f"If a folder or a run was meant, there is none of this name. {without_network()}",
        ) from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Library code prints nothing; transformers draws a bar for the weights unless told not to."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
