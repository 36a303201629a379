"""Measuring the device at hand: rates of single operations, then ten real training steps.

Single operations give the shape of the rates: matrix products, the attention kernel and element-wise traffic by the
size of one operation. What starting one costs is measured in a real cut of a real shape. Ten steps of the product's
own code, with random weights, give the correction for each kind of work: least squares on relative errors, held near 1
where the steps say little (ridge). Takes about a minute on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from lexitrain.errors import DeviceError, number_of
from lexitrain.models import compute_dtype
from lexitrain.planning.devices.calibration import Calibration, save_calibration
from lexitrain.planning.devices.catalogue import Gpu, named_like
from lexitrain.planning.devices.local import device_at_hand
from lexitrain.planning.devices.processor import processor
from lexitrain.planning.devices.rates import Curve, Rates
from lexitrain.planning.devices.real_steps import (
    CPU_PROBES,
    GPU_PROBES,
    HEAD_SIZE,
    Probe,
    launch_seconds,
    timed_step,
)
from lexitrain.planning.rehearsal.target import Target
from lexitrain.step import keep_freed_memory

if TYPE_CHECKING:
    from lexitrain.planning.rehearsal.rehearsed_step import Work

Points = tuple[tuple[float, float], ...]
Report = Callable[[str], None]

_PATIENCE = 0.12
"""Seconds that one operation is repeated for, at least three times."""
_RIDGE = 0.01
"""Weight of a correction's distance from 1 against a step's relative error: 10 % away costs as much as 1 % of error."""
_LAUNCH_RIDGE = 0.001
"""The same for the cost of a launch, which is held less near to what was measured: that is of a cut without work, whose
operations find everything in the caches, as those of a working step do not."""
_FACTOR_LIMITS = (0.2, 8.0)
"""Corrections beyond these would say that a rate was measured wrongly, not that steps differ from single operations."""


def calibrate(report: Report) -> Calibration:
    """Measure the GPU that training would use, or the CPU.

    Args:
        report: told what is being measured.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        keep_freed_memory()
    dtype = compute_dtype("auto", device)
    report("matrix products")
    matrix = _matrix(device, dtype)
    report("attention")
    attention = _attention(device, dtype)
    report("memory traffic")
    bandwidth = _bandwidth(device)
    report("starting operations")
    capability = torch.cuda.get_device_capability() if device.type == "cuda" else None
    target = Target.of("auto", capability)
    plain = Rates(
        matrix=Curve(matrix),
        attention=Curve(attention),
        bandwidth=Curve(bandwidth),
        launch=launch_seconds(target, device, dtype),
        overlapped=device.type == "cuda",
    )
    rows: list[tuple[Probe, float, tuple[Work, ...]]] = []
    probes = CPU_PROBES if device.type == "cpu" else GPU_PROBES
    for number, probe in enumerate(probes, start=1):
        report(f"training step {number} of {len(probes)}")
        rows.append((probe, *timed_step(probe, target, device, dtype)))
    fitted = fit_factors(plain, [(seconds, works) for _, seconds, works in rows])
    return Calibration(
        device=torch.cuda.get_device_name() if device.type == "cuda" else processor(),
        kind=device.type,
        precision=target.dtype,
        date=datetime.now(UTC).date().isoformat(),
        torch=torch.__version__,
        matrix=matrix,
        attention=attention,
        bandwidth=bandwidth,
        launch=fitted.launch,
        factors=fitted.factors,
        steps=tuple(
            {
                "what": (
                    f"{number_of(probe.layers, 'layer')} of {probe.hidden}, {probe.cut.rows} x "
                    f"{probe.cut.length} tokens"
                ),
                "measured": seconds,
                "predicted": fitted.seconds(works),
            }
            for probe, seconds, works in rows
        ),
    )


def measured_device(asked: Gpu, report: Report) -> Gpu:
    """Measure the device at hand, keep the measurement for later plans, and return what to plan with.

    Args:
        asked: the device that the user would plan for.
        report: told what is being measured.

    Returns:
        `asked` on a machine without a GPU, else the catalogue's entry for its GPU, or what `gpu_at_hand` makes of one
        that is not there.

    Raises:
        DeviceError: this machine has no GPU and `asked` is one. The measurement is kept all the same.
    """
    measured = calibrate(report)
    save_calibration(measured)
    if measured.kind == "cpu":
        if not asked.is_cpu:
            raise DeviceError(
                f"This machine has no GPU, so the CPU was measured, not a {asked.name}.",
                where="--calibrate",
                fix="Run it on the machine that has the GPU, or plan with --gpu CPU.",
            )
        return asked
    here = device_at_hand(torch.device("cuda"))
    like = named_like(measured.device, here.memory)
    return here if like is None else like


def fit_factors(rates: Rates, steps: Sequence[tuple[float, Sequence[Work]]]) -> Rates:
    """The rates with a correction for each kind of work, and the cost of a launch, that real steps suggest.

    Minimizes the squared relative errors of the steps plus a small penalty for each correction's distance from 1. On
    a device whose launches overlap with work, only the work is corrected.

    Args:
        rates: of single operations.
        steps: measured seconds, and the operations, of each real step.
    """
    kinds = sorted({work.kind for _, works in steps for work in works})
    rows = []
    for seconds, works in steps:
        found = rates.by_kind(works)
        launches = rates.launch * sum(work.launches for work in works)
        parts = [found.get(kind, 0.0) for kind in kinds] + [0.0 if rates.overlapped else launches]
        rows.append([part / seconds for part in parts])
    ridge = np.diag([math.sqrt(_RIDGE)] * len(kinds) + [math.sqrt(_LAUNCH_RIDGE)])
    left = np.vstack([np.array(rows), ridge])
    right = np.concatenate([np.ones(len(rows)), ridge.sum(axis=1)])
    solved, *_ = np.linalg.lstsq(left, right, rcond=None)
    *factors, launch = (float(each) for each in np.clip(solved, *_FACTOR_LIMITS))
    return replace(
        rates,
        launch=rates.launch * launch,
        factors=dict(zip(kinds, factors, strict=True)),
    )


def _seconds(work: Callable[[], Any], device: torch.device, inner: int = 1) -> float:
    """Median time of one call, after a first one; `inner` calls are timed together."""

    def timed() -> float:
        start = perf_counter()
        for _ in range(inner):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (perf_counter() - start) / inner

    timed()
    found = [timed() for _ in range(3)]
    until = perf_counter() + _PATIENCE
    while perf_counter() < until:
        found.append(timed())
    return median(found)


def _matrix(device: torch.device, dtype: torch.dtype) -> Points:
    """Rates of `x @ weight.T` by the operations of one product."""
    shapes = [
        (64, 256, 256),
        (128, 512, 512),
        (128, 768, 2048),
        (512, 768, 2048),
        (768, 1024, 4096),
    ]
    if device.type == "cuda":
        shapes += [(1024, 896, 4864), (2048, 1536, 8960), (4096, 1536, 8960), (8192, 1536, 8960)]
    points = []
    for rows, inputs, outputs in shapes:
        x = torch.randn(rows, inputs, device=device, dtype=dtype)
        weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
        operations = 2.0 * rows * inputs * outputs
        inner = 1 if operations > 1e8 else 20
        points.append(
            (operations, operations / _seconds(partial(linear, x, weight), device, inner))
        )
    return tuple(sorted(points))


def _attention(device: torch.device, dtype: torch.dtype) -> Points:
    """Rates of the attention kernel under a dense mask, forward and backward together, by its operations."""
    heads = 8
    points = []
    for length in (64, 128, 256, 512, 1024):
        query, key, value = (
            torch.randn(1, heads, length, HEAD_SIZE, device=device, dtype=dtype, requires_grad=True)
            for _ in range(3)
        )
        mask = torch.zeros(1, 1, length, length, device=device, dtype=dtype)

        def both(query: Any = query, key: Any = key, value: Any = value, mask: Any = mask) -> None:
            scaled_dot_product_attention(query, key, value, attn_mask=mask).sum().backward()

        # Two products forward, five backward (one of them recomputes the scores; Dao et al. 2022, arXiv:2205.14135),
        # of 2 x length^2 x width operations each: 2.5 times the forward's, 3.5 times for both.
        forward = 4.0 * length**2 * heads * HEAD_SIZE
        seconds = _seconds(both, device, 1 if length > 128 else 5)
        # Later the rate is asked for by the size of one of the two kernels. It was measured over both, so the point
        # stands between their sizes: at the geometric mean, the root of 2.5.
        points.append((forward * 1.6, 3.5 * forward / seconds))
    return tuple(sorted(points))


def _bandwidth(device: torch.device) -> Points:
    """Bytes a second of an element-wise operation, by the bytes that it reads and writes."""
    points = []
    largest = 26 if device.type == "cpu" else 29
    for exponent in range(16, largest, 2):
        numbers = torch.randn(2**exponent // 4, device=device)
        moved = 2.0 * 4 * numbers.numel()
        inner = 1 if exponent > 21 else 20
        points.append((moved, moved / _seconds(lambda x=numbers: x * 1.5, device, inner)))
    return tuple(points)
