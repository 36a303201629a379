"""What counts as memory that ran out, and processes that would share a GPU."""

from __future__ import annotations

import pytest
import torch

from lexitrain.errors import DeviceError
from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import LoraSection
from lexitrain.step import set_gradient_checkpointing
from lexitrain.step.out_of_memory import is_out_of_memory
from lexitrain.step.processes import require_own_gpus
from tests.tiny import tiny_model


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "out of resource: shared memory, Required: 147456, Hardware limit: 101376.",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
    ],
)
def test_what_means_that_memory_ran_out(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))
    assert not is_out_of_memory(ValueError(message))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_two_processes_on_one_gpu_are_refused() -> None:
    require_own_gpus(["one GPU-1", "one GPU-2", "two GPU-1"])
    with pytest.raises(DeviceError, match="Processes 1 and 3 have the same GPU"):
        require_own_gpus(["one GPU-1", "one GPU-2", "two GPU-1", "one GPU-2"])


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_random_states_are_kept_for_recomputation_only_where_something_is_drawn(
    dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = attach_adapter(tiny_model(), LoraSection(rank=2, alpha=4, dropout=dropout), seed=0)
    base = model.get_base_model()
    asked: list[bool] = []
    kept = torch.get_rng_state
    monkeypatch.setattr(torch, "get_rng_state", lambda: asked.append(True) or kept())
    set_gradient_checkpointing(base, True)
    tokens = torch.arange(2, 20)[None]
    model.train()(input_ids=tokens, use_cache=False).logits.sum().backward()
    assert bool(asked) == (dropout > 0)
    assert not getattr(base, "_require_grads_hooks", None)
    assert all(each.grad is not None for each in model.parameters() if each.requires_grad)
