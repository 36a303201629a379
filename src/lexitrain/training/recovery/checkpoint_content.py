"""Everything that decides how a run goes on, as the files of a checkpoint.

    adapter_model.safetensors, adapter_config.json   the adapter, as PEFT writes it
    adapter_rest.safetensors                         what the first file does not hold of an adapter that began in the
                                                     base's own directions; of no other
    optimizer.safetensors                            tensors of the optimizer's state, `<parameter>/<key>`
    state.json                                       the rest: cursor, training state (`standing`), loss scale, numbers
                                                     of the optimizer

No pickle: a checkpoint can be read by anyone and runs no code. Tensors come back bit for bit, whatever their dtype
(8-bit state included). The learning rate is a function of the step, so the schedule's state is the step itself. States
of random generators are not needed: the order of samples and each step's dropout follow from the seed and the step
(`seed_step`). Checkpoints of version 0.1 hold some (`rng`), which are not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save

from lexitrain.errors import InputError
from lexitrain.models import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    config_file,
    put_weights,
    put_weights_of_run,
    rest_file,
    weights_file,
)
from lexitrain.step import FlatOptimizer, LossScale
from lexitrain.training.metrics import LossWatch, Window
from lexitrain.training.recovery.state import TrainingState

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from lexitrain.batching import Cursor
    from lexitrain.runs import Checkpoint

OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
REST_FILE = "adapter_rest.safetensors"


class AdapterFiles:
    """The adapter of a model as PEFT's two files, in memory.

    Args:
        model: the model that carries the adapter.
        base_name, revision: how the base is called in the configuration.
    """

    def __init__(self, model: Any, base_name: str, revision: str | None = None) -> None:
        self._model = model
        self._base = base_name, revision

    def contents(self) -> dict[str, bytes]:
        """File name -> content, at this moment. The same weights give the same bytes."""
        config = config_file(self._model, *self._base)
        return {WEIGHTS_FILE: weights_file(self._model), CONFIG_FILE: config}


def checkpoint_files(
    adapter: AdapterFiles,
    model: Any,
    optimizer: Optimizer,
    state: TrainingState,
    cursor: Cursor,
    loss_scale: LossScale | None = None,
) -> dict[str, bytes]:
    """All files of a checkpoint of this moment."""
    scale = loss_scale or LossScale()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for name, moments in _named_state(model, optimizer):
        for key, value in moments.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{name}/{key}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(name, {})[key] = value
    content = {
        "cursor": asdict(cursor),
        "standing": asdict(state),
        "optimizer": numbers,
        "loss_scale": {"factor": scale.factor, "steady": scale.steady, "used": scale.used},
    }
    rest = rest_file(model)
    return {
        **adapter.contents(),
        **({} if rest is None else {REST_FILE: rest}),
        OPTIMIZER_FILE: save(_without_sharing(tensors)),
        STATE_FILE: (json.dumps(content, indent=1) + "\n").encode(),
    }


def restore(
    checkpoint: Checkpoint, model: Any, optimizer: Optimizer, loss_scale: LossScale | None = None
) -> TrainingState:
    """Put a verified checkpoint into a model, an optimizer and a loss scale as they were built, and return where the
    run stands."""
    content: dict[str, Any] = json.loads(checkpoint.files[STATE_FILE])
    state = state_of(checkpoint)
    file, weights = checkpoint.path / WEIGHTS_FILE, load(checkpoint.files[WEIGHTS_FILE])
    if REST_FILE in checkpoint.files:
        put_weights_of_run(model, weights, load(checkpoint.files[REST_FILE]), file)
    else:
        put_weights(model, weights, file)
    tensors = load(checkpoint.files[OPTIMIZER_FILE])
    if isinstance(optimizer, FlatOptimizer) and not _all_as_often(tensors, content["optimizer"]):
        optimizer.split()
    states = dict(_named_state(model, optimizer))
    for full_name, value in tensors.items():
        name, _, key = full_name.rpartition("/")
        _put(states[name], key, value)
    for name, numbers in content["optimizer"].items():
        states[name].update(numbers)
    if loss_scale is not None:
        _put_scale(loss_scale, content["loss_scale"])
    return state


def _put_scale(scale: LossScale, saved: Mapping[str, Any]) -> None:
    """Take over a factor that was in use. A checkpoint from a card that needs none has 1, with which most gradients of
    fp16 would vanish: a run that moves to a card with fp16 begins with that card's own. Checkpoints of before do not
    say whether it was in use; unused it was never other than 1, nor counted."""
    used = saved.get("used", saved["factor"] != 1.0 or saved["steady"] != 0)
    if scale.used and used:
        scale.factor, scale.steady = saved["factor"], saved["steady"]


def state_of(checkpoint: Checkpoint) -> TrainingState:
    """Where the run stood at a verified checkpoint. Raises InputError for a state that this version does not write."""
    try:
        saved: dict[str, Any] = json.loads(checkpoint.files[STATE_FILE])["standing"]
        parts = {
            "window": Window(**saved["window"]),
            "losses": LossWatch(**saved.get("losses", {})),
        }
        state = TrainingState(**{**saved, **parts})
        # Version 0.1 took a NaN for the best loss, and kept it as that for ever.
        if state.best_loss is not None and not math.isfinite(state.best_loss):
            state.forget_best()
        if state.validation_loss is not None and not math.isfinite(state.validation_loss):
            state.validation_loss = None
        return state
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"The state of this checkpoint cannot be used ({type(error).__name__}: {error}).",
            where=checkpoint.path,
            fix="It was written by another version, or by other means. Delete the folder to go on from the one before.",
        ) from error


def _named_state(model: Any, optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    """The optimizer's state of each parameter it moves, by the parameter's name in the model."""
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if id(parameter) in moved:
            yield name, optimizer.state[parameter]


def _all_as_often(tensors: dict[str, Tensor], numbers: dict[str, dict[str, Any]]) -> bool:
    """Whether all tensors were moved in the same steps."""
    counts = {float(value) for name, value in tensors.items() if name.endswith("/step")}
    counts |= {float(each["step"]) for each in numbers.values() if "step" in each}
    return len(counts) < 2


def _put(state: dict[str, Any], key: str, value: Tensor) -> None:
    """Set one tensor of the state, in place where it is allocated: paged memory must stay paged."""
    there = state.get(key)
    if isinstance(there, torch.Tensor) and (there.shape, there.dtype) == (value.shape, value.dtype):
        there.copy_(value)
    else:
        state[key] = value.to(there.device) if isinstance(there, torch.Tensor) else value


def _without_sharing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors that share memory (bitsandbytes has one quantization map for all parameters)."""
    seen: set[int] = set()
    separate: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return separate
