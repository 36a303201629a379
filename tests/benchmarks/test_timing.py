"""What is timed was met before: every form of cut, and nothing of it is left in the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks.compare.comparison import Comparison, Part, Worker
from benchmarks.compare.competitors import COMPETITORS
from benchmarks.compare.work import Work
from benchmarks.step_profile import kernel_kind, kernel_seconds, shares
from benchmarks.timing import built_step, prepare
from benchmarks.workload import NANO_SHAPE, rendered_samples, step_samples
from torch.autograd import DeviceType  # pyright: ignore[reportPrivateImportUsage]
from torch.autograd.profiler_util import FunctionEvent

pytest.importorskip("dashscope")


def test_forms_are_recorded_before_they_are_timed_and_no_weight_moves():
    samples = rendered_samples("generated")
    step = built_step(NANO_SHAPE, "step.graphs=always")
    laid = [step.lay_out(step_samples(samples, number)) for number in range(3)]
    before = [each.detach().clone() for each in step.parameters]
    found = prepare(step, laid)
    assert step.graphs is not None
    assert step.graphs.recorded == found["forms"] > 0
    assert step.notes == []
    assert all(torch.equal(one, other) for one, other in zip(before, step.parameters, strict=True))
    plain = built_step(NANO_SHAPE)
    for number, batches in enumerate(laid):
        chosen = step_samples(samples, number)
        mine, other = step.gradients(chosen, batches), plain.gradients(chosen)
        assert mine.loss == pytest.approx(other.loss, rel=1e-5)
        assert step.grad_norm == pytest.approx(plain.grad_norm, rel=1e-4)
        step.update(1e-3)
        plain.update(1e-3)
    assert step.graphs.recorded == found["forms"]


@pytest.mark.parametrize(
    ("name", "cuts"), [("fast_one_row", 1), ("best_one_row", 1), ("fast_many_cuts", 3)]
)
def test_one_row_is_one_and_many_cuts_are_several(name: str, cuts: int):
    competitor = COMPETITORS[name]
    step = built_step(NANO_SHAPE, *competitor.overrides, name=competitor.recipe)
    laid = step.lay_out(step_samples(rendered_samples("generated"), 0))
    assert len(laid) == cuts
    assert name.endswith("row") or max(batch.tokens.size for batch in laid) <= 512


def event(name: str, device: DeviceType, micros: float, **more: Any) -> FunctionEvent:
    return FunctionEvent(
        id=0,
        name=name,
        thread=0,
        start_us=0,
        end_us=micros,
        device_type=device,
        use_device="cuda",
        **more,
    )


def test_kernels_count_once_whoever_started_them():
    events = [
        event("aten::mm", DeviceType.CPU, 50),
        event("cudaGraphLaunch", DeviceType.CPU, 5),
        event("sm90_xmma_gemm_bf16", DeviceType.CUDA, 200),
        event("sm90_xmma_gemm_bf16", DeviceType.CUDA, 100),
        event("triton_tem_fused_flex_attention_0", DeviceType.CUDA, 300),
        event("Optimizer.step#AdamW.step", DeviceType.CUDA, 900, is_user_annotation=True),
    ]
    found, count = kernel_seconds(events)
    assert found == pytest.approx(
        {"sm90_xmma_gemm_bf16": 3e-4, "triton_tem_fused_flex_attention_0": 3e-4}
    )
    assert count == 3
    assert shares(found, kernel_kind)["products_and_attention"] == 1.0


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("nvjet_tst_128x128_64x6", "matrix products"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm>", "matrix products"),
        ("fmha_cutlassF_bf16_aligned_64x64_rf_sm80", "attention"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("triton_poi_fused_mul_silu_1", "SiLU"),
        ("void at::native::(anonymous namespace)::cuComputeLayerNorm rms_norm", "norms"),
        ("Memcpy HtoD (Pinned -> Device)", "copies and casts"),
        ("void at::native::vectorized_elementwise_kernel<4, MulFunctor>", "element-wise"),
        ("void at::native::indexSelectLargeIndex<c10::BFloat16>", "lookup"),
        ("triton_red_fused_add_0", "other compiled kernels"),
        ("something_else", "other"),
    ],
)
def test_kernels_have_kinds(kernel: str, kind: str):
    assert kernel_kind(kernel) == kind


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_untimed_steps_are_told_as_losses_and_a_process_that_hangs_is_ended():
    work = Work(shape="nano", steps=4, data="generated")
    found = Comparison(work, [Part("fast", 1, 2, warm_up=2)]).run()["competitors"]["fast"]
    assert len(found["losses"]) == 4
    assert list(found["seconds_of_step"]) == ["2", "3"]
    assert found["facts"]["cuts"] == [3, 3, 3, 3]
    hanging = Worker("fast", work, patience=0.2)
    hanging.wait()
    assert hanging.failed == "no answer within 0.2 s"
    hanging.stop()
