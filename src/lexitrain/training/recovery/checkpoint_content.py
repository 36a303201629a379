"""Everything that decides how a run goes on, as the files of a checkpoint.

    adapter_model.safetensors, adapter_config.json   the adapter, as PEFT writes it
    optimizer.safetensors                            tensors of the optimizer's state, `<parameter>/<key>`
    state.json                                       the rest: cursor, best, RNG states, rung, loss scale, numbers
                                                     of the optimizer

No pickle: a checkpoint can be read by anyone and runs no code. Tensors come back bit for bit, whatever their dtype
(8-bit state included). The learning rate is a function of the step, so the schedule's state is the step itself.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load, save

from lexitrain.errors import InputError
from lexitrain.models.adapter import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    config_file,
    put_weights,
    weights_file,
)
from lexitrain.step.loss_scale import LossScale
from lexitrain.training.loss_spikes import LossWatch
from lexitrain.training.metrics import Window

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from lexitrain.batching.sample_order import Cursor
    from lexitrain.training.recovery.checkpoints import Checkpoint

OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"


@dataclass
class Standing:
    """Where a run stands, apart from its tensors. Markers say what has been done for `step`, so that a stop between
    a step and its validation loses neither.

    Attributes:
        step: optimizer steps done.
        seconds: time spent in training steps, over all processes that worked on the run.
        validated_at, logged_at: last step that was validated, and that was logged.
        validation_loss: measured at `validated_at`.
        best_step, best_loss: of the lowest validation loss.
        validations_without_gain: since then.
        rung: of the memory ladder; 0 as long as nothing was changed to save memory.
        token_budget: most layout tokens in a cut, where the ladder has set one.
        left_out: numbers of the steps, from 0, whose gradient is dropped because it is no number.
        losses: the last steps' losses, to tell a spike.
        window: the steps not yet logged.
    """

    step: int = 0
    seconds: float = 0.0
    validated_at: int = 0
    logged_at: int = 0
    validation_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    validations_without_gain: int = 0
    rung: int = 0
    token_budget: int | None = None
    left_out: list[int] = field(default_factory=list[int])
    losses: LossWatch = field(default_factory=LossWatch)
    window: Window = field(default_factory=Window)


class AdapterFiles:
    """The adapter of a model as PEFT's two files, in memory.

    Args:
        model: the model that carries the adapter.
        base_name, revision: how the base is called in the configuration.
    """

    def __init__(self, model: Any, base_name: str, revision: str | None = None) -> None:
        self._model = model
        self._config = config_file(model, base_name, revision)

    def contents(self) -> dict[str, bytes]:
        """File name -> content, at this moment. The same weights give the same bytes."""
        return {WEIGHTS_FILE: weights_file(self._model), CONFIG_FILE: self._config}


def checkpoint_files(
    adapter: AdapterFiles,
    model: Any,
    optimizer: Optimizer,
    standing: Standing,
    cursor: Cursor,
    loss_scale: LossScale | None = None,
) -> dict[str, bytes]:
    """All files of a checkpoint of this moment."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for name, state in _named_state(model, optimizer):
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{name}/{key}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(name, {})[key] = value
    content = {
        "cursor": asdict(cursor),
        "standing": asdict(standing),
        "optimizer": numbers,
        "loss_scale": asdict(loss_scale or LossScale()),
        "rng": _rng_states(),
    }
    return {
        **adapter.contents(),
        OPTIMIZER_FILE: save(_without_sharing(tensors)),
        STATE_FILE: (json.dumps(content, indent=1) + "\n").encode(),
    }


def restore(
    checkpoint: Checkpoint, model: Any, optimizer: Optimizer, loss_scale: LossScale | None = None
) -> Standing:
    """Put a verified checkpoint into a model, an optimizer and a loss scale as they were built, and return where the
    run stands."""
    content: dict[str, Any] = json.loads(checkpoint.files[STATE_FILE])
    standing = standing_of(checkpoint)
    put_weights(model, load(checkpoint.files[WEIGHTS_FILE]), checkpoint.path / WEIGHTS_FILE)
    states = dict(_named_state(model, optimizer))
    for full_name, value in load(checkpoint.files[OPTIMIZER_FILE]).items():
        name, _, key = full_name.rpartition("/")
        _put(states[name], key, value)
    for name, numbers in content["optimizer"].items():
        states[name].update(numbers)
    if loss_scale is not None and loss_scale.used:
        loss_scale.factor = content["loss_scale"]["factor"]
        loss_scale.steady = content["loss_scale"]["steady"]
    _set_rng_states(content["rng"])
    return standing


def standing_of(checkpoint: Checkpoint) -> Standing:
    """Where the run stood at a verified checkpoint. Raises InputError for a state that this version does not write."""
    try:
        saved: dict[str, Any] = json.loads(checkpoint.files[STATE_FILE])["standing"]
        parts = {
            "window": Window(**saved["window"]),
            "losses": LossWatch(**saved.get("losses", {})),
        }
        return Standing(**{**saved, **parts})
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"The state of this checkpoint cannot be used ({type(error).__name__}: {error}).",
            where=checkpoint.path,
            fix="It was written by another version, or by other means. Delete the folder to go on from the one before.",
        ) from error


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed PyTorch for one step, so that its dropout depends on nothing that came before it.

    Each further process (`rank` above 0) draws its own.
    """
    entropy = [seed, step, rank] if rank else [seed, step]
    words = np.random.SeedSequence(entropy).generate_state(2)
    torch.manual_seed(int(words[0]) << 31 ^ int(words[1]))


def _named_state(model: Any, optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    """The optimizer's state of each parameter it moves, by the parameter's name in the model."""
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if id(parameter) in moved:
            yield name, optimizer.state[parameter]


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


def _rng_states() -> dict[str, Any]:
    _, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": bytes(torch.get_rng_state().tolist()).hex(),
        "cuda": [bytes(each.tolist()).hex() for each in _cuda_states()],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "python": [list(words), gauss],
    }


def _set_rng_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(_from_hex(states["torch"]))
    if len(states["cuda"]) == len(_cuda_states()) > 0:
        torch.cuda.set_rng_state_all([_from_hex(each) for each in states["cuda"]])
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), position, has_gauss, cached))
    words, gauss = states["python"]
    random.setstate((random.getstate()[0], tuple(words), gauss))


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _from_hex(text: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
