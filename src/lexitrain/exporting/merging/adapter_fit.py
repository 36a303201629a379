"""Whether an adapter's files are whole and are for this base: PEFT itself says which tensors its settings ask for.

Half of an adapter, or one with settings that a newer PEFT has and this one does not know, would merge without a word
into another model than the one that was trained.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import ModelError
from lexitrain.models import CONFIG_FILE, KEEPS_THE_BASE, WEIGHTS_FILE, read_adapter_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_CHANGE_NO_MERGE = frozenset(
    {
        # of the file
        *("peft_type", "task_type", "auto_mapping", "peft_version", "inference_mode", "revision"),
        *("base_model_name_or_path",),
        # that the tensors show, or the scale takes in
        *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        # of training alone
        *("lora_dropout", "init_lora_weights", "loftq_config", "eva_config", "corda_config"),
        *("lora_ga_config", "runtime_config", "ensure_weight_tying"),
        # of other fields that are off
        *("megatron_core", "qalora_group_size"),
    }
)
"""Fields of adapter_config.json under which W + s B A stays what is computed."""


def require_plain_adapter(folder: Path) -> Any:
    """PEFT's settings of an adapter, where what it computes is the base with low-rank products added, or DoRA of them.

    Raises:
        ModelError: there is no LoRA adapter, or one with a setting that makes it something else.
    """
    config: Any = read_adapter_config(folder)
    start = config.init_lora_weights
    if isinstance(start, str) and start.lower() not in KEEPS_THE_BASE:
        raise ModelError(
            f"The adapter was begun by {start}, which changes the base's own weights, and is saved for that base.",
            where=folder,
            fix="Save it for the base as it was: PEFT's save_pretrained with path_initial_model_for_weight_conversion.",
        )
    written: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    for field, value in written.items():
        if field not in _CHANGE_NO_MERGE and value and value != "none":
            raise ModelError(
                f"The adapter has {field}, which is not merged here.",
                where=folder / CONFIG_FILE,
                fix="Train without it, or serve base and adapter with PEFT.",
            )
    return config


def require_whole(
    config: PretrainedConfig, folder: Path, found: Mapping[str, tuple[int, ...]]
) -> None:
    """Nothing, where an adapter's file holds what its settings ask for with a base. Nothing is allocated.

    Args:
        config: of the base.
        folder: of the adapter.
        found: name -> shape of the tensors in its file.

    Raises:
        ModelError: it is for another base, or not whole.
    """
    needed = _needed(config, folder)
    if missing := sorted(needed.keys() - found.keys()):
        raise ModelError(
            f"The adapter lacks {missing[0]}{_more(missing)}, which its settings ask for with this base.",
            where=folder / WEIGHTS_FILE,
            fix="Give the base that the adapter was trained on, or get the adapter's files anew.",
        )
    for name, shape in found.items():
        if needed.get(name) != shape:
            asked = f"asks for {list(needed[name])}" if name in needed else "has no place for it"
            raise ModelError(
                f"The adapter holds {name} of the shape {list(shape)}; the base {asked}.",
                where=folder / WEIGHTS_FILE,
                fix="Give the base that the adapter was trained on.",
            )


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _needed(config: PretrainedConfig, folder: Path) -> dict[str, tuple[int, ...]]:
    from peft import PeftModel, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    settings: Any = read_adapter_config(folder)
    settings.inference_mode, settings.init_lora_weights = True, False
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by an older name
        model: Any = AutoModelForCausalLM.from_config(config)
        try:
            adapted = PeftModel(model, settings)
        except ValueError as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"The adapter does not fit the base: {reason}",
                where=folder,
                fix="Give the base that the adapter was trained on.",
            ) from error
    state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return {name: tuple(each.shape) for name, each in state.items()}
