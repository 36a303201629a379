"""The roofline: monotone in the device, additive in the work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.devices.rates import Curve, Rates, catalogue_rates
from lexitrain.planning.rehearsal.rehearsed_step import Work

KINDS = ("matmul", "adapter", "attention", "head", "elementwise", "embedding", "quantization")
works = st.lists(
    st.builds(
        Work,
        st.sampled_from(KINDS),
        st.sampled_from(("forward", "backward")),
        st.floats(0, 1e14),
        st.floats(0, 1e12),
        st.floats(1, 1e4),
    ),
    min_size=1,
    max_size=8,
)


@given(works, st.floats(0.1, 1), st.floats(0.1, 1), st.floats(1, 4))
def test_a_smaller_gpu_is_never_faster(
    operations: list[Work], peak: float, bandwidth: float, launch: float
):
    gpu = find_gpu("L4")
    smaller = replace(
        gpu,
        tflops={name: peak * value for name, value in gpu.tflops.items()},
        bandwidth=bandwidth * gpu.bandwidth,
        launch=launch * gpu.launch,
    )
    for level in ("low", "expected", "high"):
        ours = catalogue_rates(gpu, "bf16", level).seconds(operations)
        theirs = catalogue_rates(smaller, "bf16", level).seconds(operations)
        assert theirs >= ours * (1 - 1e-9)


@given(works)
def test_the_range_is_ordered(operations: list[Work]):
    for name in ("T4", "H100", "CPU"):
        low, expected, high = (
            catalogue_rates(find_gpu(name), "fp16", level).seconds(operations)
            for level in ("low", "expected", "high")
        )
        assert low <= expected <= high


@given(works, works)
def test_more_work_never_takes_less_time(first: list[Work], second: list[Work]):
    rates = catalogue_rates(find_gpu("T4"), "fp16", "expected")
    longest = max(rates.seconds(first), rates.seconds(second))
    assert rates.seconds([*first, *second]) >= longest * (1 - 1e-9)


def test_the_slower_side_of_the_roof_decides():
    rates = Rates(
        matrix=Curve(((1.0, 100.0),)),
        attention=Curve(((1.0, 10.0),)),
        bandwidth=Curve(((1.0, 50.0),)),
        launch=0.5,
        overlapped=False,
        factors={"head": 3.0},
    )
    assert rates.work_seconds(Work("matmul", "forward", 200.0, 50.0, 1)) == 2.0
    assert rates.work_seconds(Work("matmul", "forward", 200.0, 500.0, 1)) == 10.0
    assert rates.work_seconds(Work("attention", "forward", 200.0, 50.0, 1)) == 20.0
    assert rates.work_seconds(Work("elementwise", "forward", 200.0, 50.0, 1)) == 1.0
    assert rates.work_seconds(Work("head", "forward", 200.0, 50.0, 1)) == 6.0
    one = Work("matmul", "forward", 200.0, 50.0, 4)
    assert rates.seconds([one]) == 2.0 + 4 * 0.5
    assert replace(rates, overlapped=True).seconds([one]) == 2.0
    assert replace(rates, overlapped=True, launch=1.0).seconds([one]) == 4.0


def test_a_rate_is_interpolated_by_powers_and_held_outside():
    curve = Curve(((1.0, 10.0), (100.0, 1000.0)))
    assert curve.at(0.01) == 10.0
    assert curve.at(10.0) == pytest.approx(100.0)
    assert curve.at(1e6) == 1000.0
