"""The LoRA adapter: attached to a base, saved and restored in PEFT's own form.

Adapter weights are fp32 whatever the base is stored in. Their start depends on the seed alone, not on the state of
any global generator nor on the device. Saved files are the same bytes for the same weights, name their base as the
recipe does (`nano`, a Hub id, or a folder) and never hold embeddings.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lexitrain.errors import ModelError
from lexitrain.models.base_checks import require_usable_packages
from lexitrain.models.location import CONFIG_FILE, WEIGHTS_FILE
from lexitrain.models.lora_targets import require_chosen_layers, require_targets
from lexitrain.models.principal_start import (
    for_the_whole_base,
    held_back,
    hold_back,
    not_in_it,
    principal_factors,
    taken_apart,
)
from lexitrain.models.projection import use_fused_projections

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

    from lexitrain.recipe import LoraSection

# PEFT imports bitsandbytes where it is installed, which logs a warning about a kernel that nothing here uses.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_NOT_TRAINED = (
    *("use_dora", "rank_pattern", "alpha_pattern", "lora_bias", "bias"),
    *("modules_to_save", "exclude_modules", "layer_replication"),
    *("trainable_token_indices", "target_parameters"),
)
"""Settings of PEFT's that make another adapter of the same rank and targets."""
_FIELDS = {
    "r": "rank",
    "lora_alpha": "alpha",
    "use_rslora": "scaling",
    "target_modules": "targets",
    "layers_to_transform": "layers",
}
"""Settings of PEFT's that a recipe has, by their names there."""
KEEPS_THE_BASE = {"gaussian", "orthogonal", "eva"}
"""Ways of beginning an adapter that leave the base as it is, among those that PEFT calls by a name."""


def attach_adapter(
    model: PreTrainedModel,
    lora: LoraSection,
    seed: int,
    start: str | Path | None = None,
    *,
    begin: bool = True,
) -> PeftModel:
    """A trainable adapter on `model`, new or started from a saved one.

    A new adapter leaves the model's output unchanged: A is uniform in ±1/sqrt(inputs) (the usual initialization of a
    linear layer), B is 0; or both are as `lora.init` says.

    Args:
        model: the base; it is changed in place and frozen.
        lora: the adapter's settings.
        seed: of the new adapter's weights.
        start: folder of an adapter in PEFT form whose weights to start from.
        begin: False leaves a start that is taken out of the base to the caller (`begin_adapter`, or a checkpoint's).

    Raises:
        ModelError: the base has none of the targets or layers, or `start` does not hold an adapter of this shape.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=lora.dropout,
        use_rslora=lora.scaling == "rslora",
        target_modules=list(lora.targets),
        layers_to_transform=list(lora.layers) or None,
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    if start is not None:
        _check_same_shape(read_adapter_config(Path(start)), config, start)
    require_targets(model, lora.targets, lora.layers)
    with _wrapping(model):
        adapted: Any = get_peft_model(model, config)
    require_chosen_layers((name for name, _ in adapted.named_parameters()), lora.layers)
    use_fused_projections(adapted)
    if start is not None:
        restore_adapter(adapted, start)
        return adapted
    _initialize(adapted, seed)
    if lora.init == "orthogonal":
        _draw_orthogonal(adapted, seed)
    elif lora.changes_base and begin:
        hold_back(adapted, principal_factors(adapted, lora.init))
    return adapted


def load_adapter(model: PreTrainedModel, folder: str | Path) -> PeftModel:
    """A saved adapter on `model`, frozen, for inference.

    Raises:
        ModelError: the folder holds no adapter in PEFT form, or one of another base.
    """
    from peft import PeftModel

    config = read_adapter_config(Path(folder))
    config.inference_mode = True
    with _wrapping(model):
        adapted = PeftModel(model, config)
    use_fused_projections(adapted)
    restore_adapter(adapted, folder)
    return adapted.eval()


def adapter_weights(model: PeftModel) -> dict[str, Tensor]:
    """The adapter's weights by their names in PEFT's files, as contiguous tensors on the CPU."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: state[name].detach().cpu().contiguous() for name in sorted(state)}


def save_adapter(model: PeftModel, folder: str | Path, base_name: str) -> None:
    """Write the adapter in PEFT form. The same weights give the same bytes.

    Args:
        model: the model that carries the adapter.
        folder: made if missing; receives `adapter_model.safetensors` and `adapter_config.json`.
        base_name: how the base is called elsewhere: `nano` or a Hub id.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(weights_file(model))
    (folder / CONFIG_FILE).write_bytes(config_file(model, base_name))


def weights_file(model: PeftModel) -> bytes:
    """`adapter_model.safetensors` of the adapter's present weights, for the base as it was loaded."""
    weights, start = adapter_weights(model), held_back(model)
    return _file(for_the_whole_base(weights, start) if start else weights)


def rest_file(model: PeftModel) -> bytes | None:
    """What a run needs besides the adapter's file to go on with the same bytes; None where it needs nothing."""
    start = held_back(model)
    return _file(not_in_it(adapter_weights(model), start)) if start else None


def _file(weights: dict[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return save(weights, metadata={"format": "pt"})


def config_file(model: PeftModel, base_name: str, revision: str | None = None) -> bytes:
    """`adapter_config.json` that belongs to `weights_file`, with the base and its revision as the recipe names them."""
    own: Any = model.peft_config["default"]
    config: dict[str, Any] = own.to_dict()
    if held_back(model):
        rank, alpha = own.r, own.lora_alpha
        scale = alpha / math.sqrt(rank) if own.use_rslora else alpha / rank
        config |= {"r": 2 * rank, "lora_alpha": scale * 2 * rank, "use_rslora": False}
    config |= {
        "base_model_name_or_path": base_name,
        "revision": revision,
        "inference_mode": True,
    }
    # PEFT keeps target names in sets, whose order changes from process to process.
    ordered = {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
    text = json.dumps(ordered, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()


def restore_adapter(model: PeftModel, folder: str | Path) -> None:
    """Put saved weights into the adapter that `model` already carries.

    Raises:
        ModelError: the file is missing, damaged, or of an adapter of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(folder) / WEIGHTS_FILE
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The adapter weights cannot be read: {error}",
            where=file,
            fix="Give a folder with an adapter in PEFT form, saved as safetensors.",
        ) from error
    put_weights(model, weights, file)


def put_weights_of_run(
    model: PeftModel, weights: dict[str, Tensor], rest: dict[str, Tensor], file: Path
) -> None:
    """Put the tensors of a checkpoint of a run whose adapter began in the base's own directions into model and base.

    Args:
        model: with a new adapter, its base as it was loaded.
        weights, rest: of `weights_file` and `rest_file`.
        file: that `weights` come from.

    Raises:
        ModelError: they are those of an adapter of another shape.
    """
    try:
        trained, start = taken_apart(weights, rest)
        shapes = {name: each.shape for name, each in adapter_weights(model).items()}
        if shapes != {name: each.shape for name, each in start.items()}:
            raise ValueError("other shapes than those of these LoRA settings")
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"The start of the adapter in this checkpoint does not fit it ({error}).",
            where=file,
            fix="Use the base and the recipe that the run was started with.",
        ) from error
    hold_back(model, start)
    put_weights(model, trained, file)


def put_weights(model: PeftModel, weights: dict[str, Tensor], file: Path) -> None:
    """Put the tensors of an adapter file into the adapter that `model` carries.

    Raises:
        ModelError: they are those of an adapter of another shape.
    """
    from peft import set_peft_model_state_dict

    shapes = {name: tuple(tensor.shape) for name, tensor in adapter_weights(model).items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if shapes != found:
        raise ModelError(
            "The adapter's tensors are not those this base and these LoRA settings need: "
            f"{_difference(shapes, found)}.",
            where=file,
            fix="Use the base it was trained on, with the same rank and targets.",
        )
    set_peft_model_state_dict(model, weights)


def _difference(needed: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    """The first thing that tells two sets of tensors apart."""
    brought = sorted(found.keys() - needed.keys())
    if own := [name for name in brought if "lora_" not in name or "embedding" in name]:
        return f"it brings more than low-rank matrices of projections, {own[0]}, which is not loaded here"
    if brought:
        return f"it has {brought[0]}, which nothing here takes"
    if missing := sorted(needed.keys() - found.keys()):
        return f"{missing[0]} is missing"
    name = next(name for name, shape in sorted(needed.items()) if found[name] != shape)
    return f"{name} has the shape {found[name]}, not {needed[name]}"


@contextmanager
def _wrapping(model: PreTrainedModel) -> Iterator[None]:
    """Let PEFT wrap a model without side effects.

    It draws a start of its own from the global generator and asks transformers for a property that has a new name.
    """
    require_usable_packages()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def _initialize(model: PeftModel, seed: int) -> None:
    """A uniform, B zero, drawn on the CPU in the order of names: the same start on every device."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            bound = 1 / math.sqrt(parameter.shape[1])
            start = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            parameter.data.copy_(start)
        elif "lora_B" in name:
            parameter.data.zero_()


def _draw_orthogonal(model: PeftModel, seed: int) -> None:
    """A and B whose product is zero: A from the odd rows of a random orthogonal matrix, B from the even ones.

    The form is PEFT's `orthogonal`; the numbers are drawn on the CPU from the seed.
    """
    from peft.tuners.lora import LoraLayer

    generator = torch.Generator().manual_seed(seed)
    layers: list[Any] = [each for each in model.modules() if isinstance(each, LoraLayer)]
    for layer in layers:
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        rank, inputs = a.shape
        rows, _ = torch.linalg.qr(torch.randn(rank, rank, generator=generator))
        of_inputs = torch.randn(inputs, rank // 2, generator=generator)
        of_outputs = torch.randn(rank // 2, b.shape[0], generator=generator)
        a.data.copy_((of_inputs @ rows[0::2]).T / 10)
        b.data.copy_(of_outputs.T @ rows[1::2] / 10)


def read_adapter_config(folder: Path) -> LoraConfig:
    """PEFT's settings of a saved adapter.

    Raises:
        ModelError: the folder holds no LoRA adapter.
    """
    from peft import LoraConfig, PeftConfig

    try:
        config = PeftConfig.from_pretrained(str(folder)) if folder.is_dir() else None
    except (OSError, ValueError, TypeError):
        config = None
    if config is not None and not isinstance(config, LoraConfig):
        kind = getattr(config.peft_type, "value", config.peft_type)
        raise ModelError(
            f"This adapter is of the kind {kind}; only LoRA is loaded here.",
            where=folder,
            fix="Give an adapter of the kind LORA.",
        )
    if config is None:
        raise ModelError(
            "There is no LoRA adapter in PEFT form here.",
            where=folder,
            fix=f"Give a folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}.",
        )
    return config


def _check_same_shape(saved: LoraConfig, wanted: LoraConfig, folder: str | Path) -> None:
    for field, key in _FIELDS.items():
        has, needs = _plain(getattr(saved, field)), _plain(getattr(wanted, field))
        if field == "layers_to_transform":  # PEFT takes one number without a list
            has = [has] if isinstance(has, int) else has or None
        if has != needs:
            raise ModelError(
                f"The adapter to start from has lora.{key} {has}, the recipe {needs}.",
                where=folder,
                fix=f"Set lora.{key} to what the adapter has, or start a new adapter.",
            )
    pattern = getattr(saved, "layers_pattern", None)
    if pattern and saved.layers_to_transform is not None:
        raise ModelError(
            f"The adapter to start from counts layers by the pattern {pattern}, which is not trained here.",
            where=folder,
            fix="Start from a plain LoRA adapter, or start a new one.",
        )
    start = getattr(saved, "init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in KEEPS_THE_BASE:
        raise ModelError(
            f"The adapter to start from was begun by {start}, which changes the base's own weights.",
            where=folder,
            fix="Start from a plain LoRA adapter, or start a new one.",
        )
    for field in _NOT_TRAINED:
        if getattr(saved, field, None) and getattr(saved, field) != "none":
            raise ModelError(
                f"The adapter to start from has {field}, which is not trained here.",
                where=folder,
                fix="Start from a plain LoRA adapter, or start a new one.",
            )


def _plain(value: Any) -> Any:
    """A setting of PEFT's as the recipe would say it."""
    if isinstance(value, bool):
        return "rslora" if value else "standard"
    if isinstance(value, (set, list, tuple)):
        return sorted(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return value
