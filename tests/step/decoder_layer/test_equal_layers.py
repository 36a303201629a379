"""Known layers in few operators against the base's own code: loss and every gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.recipe.schema import PROJECTIONS
from lexitrain.step import TrainingStep
from tests.step.decoder_layer.bases import KINDS, adapted, found_by, step_of
from tests.step.test_equality import SAMPLES, budget_for, random_samples

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def assert_equal(step: TrainingStep, samples: Any, tolerance: float = 1e-5) -> None:
    """The same step by both ways."""
    assert step.known_layers
    loss, gradients = found_by(step, samples)
    step.own_layers = True
    assert not step.known_layers
    own_loss, own_gradients = found_by(step, samples)
    assert loss == pytest.approx(own_loss, rel=tolerance)
    assert gradients.keys() == own_gradients.keys()
    for name, wanted in own_gradients.items():
        assert torch.linalg.norm(wanted) > 0
        difference = torch.linalg.norm(gradients[name] - wanted) / torch.linalg.norm(wanted)
        assert difference <= tolerance, name


@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_in_every_layout_and_form(kind: str, layout: str) -> None:
    samples = random_samples(0)
    for attention, recomputed in (("auto", "never"), ("dense", "always"), ("blocks", "always")):
        model = adapted(kind)
        step = step_of(model, layout=layout, attention=attention, gradient_checkpointing=recomputed)
        assert_equal(step, samples)


@pytest.mark.parametrize("cuts", [2, 5])
@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
def test_several_cuts_add_up(layout: str, cuts: int) -> None:
    samples = random_samples(1)
    how = (
        {"micro_batch": SAMPLES // cuts}
        if layout == "padded"
        else {"token_budget": budget_for(samples, layout, cuts)}
    )
    assert_equal(step_of(adapted("qwen2"), layout=layout, **how), samples)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["qwen2", "qwen3", "llama biased"]),
    heads=st.sampled_from([(4, 2), (4, 4), (4, 1), (2, 1)]),
    rank=st.sampled_from([1, 3, 8]),
    targets=st.lists(st.sampled_from(PROJECTIONS), min_size=1, unique=True),
    layers=st.sampled_from([(), (0,), (1,), (0, 2)]),
    recomputed=st.sampled_from(["always", "never"]),
    scaling=st.sampled_from(["standard", "rslora"]),
    seed=st.integers(0, 5),
)
def test_any_targets_layers_and_heads(
    kind: str,
    heads: tuple[int, int],
    rank: int,
    targets: list[str],
    layers: tuple[int, ...],
    recomputed: str,
    scaling: str,
    seed: int,
) -> None:
    model = adapted(
        kind,
        heads=heads,
        depth=3,
        rank=rank,
        targets=tuple(targets),
        scaling=scaling,
        **({"layers": layers} if layers else {}),
    )
    step = step_of(model, layout="tree", gradient_checkpointing=recomputed, token_budget=90)
    assert_equal(step, random_samples(seed))


@pytest.mark.usefixtures("gpu_norms")
@pytest.mark.parametrize("recomputed", ["always", "never"])
@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("kind", ["qwen2", "qwen2 windowed", "qwen3", "llama biased"])
def test_the_operators_of_a_gpu_are_equal_too(kind: str, layout: str, recomputed: str) -> None:
    """Batched products, and keys and values spread over their query heads without a copy."""
    step = step_of(
        adapted(kind),
        device="cuda",
        layout=layout,
        attention="dense",
        gradient_checkpointing=recomputed,
        token_budget=90,
    )
    assert_equal(step, random_samples(0))


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama biased"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_as_near_to_the_truth(kind: str, dtype: torch.dtype) -> None:
    """Of the whole gradient against fp32 on the same weights, over several steps."""
    errors = {False: 0.0, True: 0.0}
    exact_model = adapted(kind, dtype=dtype)
    for parameter in exact_model.parameters():
        parameter.data = parameter.data.float()
    exact_step, step = (
        step_of(exact_model, layout="tree"),
        step_of(adapted(kind, dtype=dtype), layout="tree"),
    )
    for seed in range(4):
        samples = random_samples(seed)
        exact = torch.cat([each.flatten() for each in found_by(exact_step, samples)[1].values()])
        for own in errors:
            step.own_layers = own
            found = found_by(step, samples)[1].values()
            assert all(each.dtype == torch.float32 for each in found)
            half = torch.cat([each.flatten() for each in found])
            errors[own] += float(torch.linalg.norm(half - exact) / torch.linalg.norm(exact))
    assert 0 < errors[False] <= 1.05 * errors[True]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_validation_loss_is_the_same_in_every_form() -> None:
    """FlexAttention has no backward pass on a CPU; its forward pass, uncompiled, is here."""
    samples = random_samples(0)
    for kind in ("qwen2", "qwen3"):
        step = step_of(adapted(kind), layout="tree")
        wanted = None
        for attention in ("blocks", "dense", "flex"):
            step.attention = attention
            step.own_layers = False
            found = step.loss(samples)[0]
            step.own_layers = True
            assert found == pytest.approx(step.loss(samples)[0], rel=1e-5)
            wanted = wanted or found
            assert found == pytest.approx(wanted, rel=1e-5)
    assert not [each for each in step.parameters if each.grad is not None]
