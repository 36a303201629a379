"""The curves of cost go through all their settings; how many tokens each point computes is what the layouts say."""

from __future__ import annotations

import pytest
from benchmarks.step_profile import kind_of, measure, operations
from benchmarks.timing import built_step
from benchmarks.workload import NANO_SHAPE, rendered_samples, step_samples, with_shared_prompt

from benchmarks import shared_prompt, step_curves

pytest.importorskip("dashscope")


def test_a_shared_prompt_is_the_same_for_all_and_changes_nothing_else():
    before = step_samples(rendered_samples("generated"), 0)
    after = with_shared_prompt(before, 7)
    assert {tuple(sample.prompt_ids[:7]) for sample in after} == {tuple(after[0].prompt_ids[:7])}
    for old, new in zip(before, after, strict=True):
        assert new.prompt_ids[7:].tolist() == old.prompt_ids.tolist()
        assert new.completion_ids is old.completion_ids


def test_operators_have_kinds():
    assert kind_of("aten::mm") == "matrix products"
    assert kind_of("aten::_scaled_dot_product_flash_attention_for_cpu_backward") == "attention"
    assert kind_of("aten::silu_backward") == "SiLU"
    assert kind_of("aten::view") == "other"


def test_the_counted_arithmetic_is_the_traced_one():
    """Recomputation off, one cut of a few samples: what a flop counter finds, less the first layer's saving."""
    from torch.utils.flop_counter import FlopCounterMode

    from lexitrain.planning.rehearsal.kernels import UNCOUNTED_FLOPS

    step = built_step(NANO_SHAPE)
    batches = step.lay_out(rendered_samples("generated")[:2])
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED_FLOPS) as counter:
        step.accumulate(batches, supervised=1)
    assert counter.get_total_flops() == pytest.approx(operations(NANO_SHAPE, 16, batches), rel=0.05)


@pytest.mark.slow
def test_the_curves_and_the_shared_prompt():
    samples = rendered_samples("generated")
    curves = step_curves.measure(NANO_SHAPE, samples, quick=True)
    assert [len(points) for points in curves.values()] == [2, 2, 2, 2, 2]
    for point in curves["length"]:
        assert point["tree"]["layout_tokens"] < point["packed"]["layout_tokens"]
        assert point["padded"]["layout_tokens"] == 24 * 512
    none, more = shared_prompt.measure(NANO_SHAPE, (0, 40), samples=samples)
    assert more["packed"]["layout_tokens"] == none["packed"]["layout_tokens"] + 24 * 40
    assert more["tree"]["tokens_over_none"] < more["packed"]["tokens_over_none"]


@pytest.mark.slow
def test_a_profile_has_all_its_shares():
    found = measure(NANO_SHAPE, rendered_samples("generated"), 1)
    assert sum(found["by_kind"].values()) == pytest.approx(1, abs=0.01)
    assert found["products_and_attention"] < 1
    assert found["achieved_over_ceiling"] > 0
