"""What is made of measurements: corrections from real steps, and the device to plan with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lexitrain.errors import DeviceError
from lexitrain.planning.devices import measurement
from lexitrain.planning.devices.calibration import find_calibration
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.devices.local import gpu_at_hand
from lexitrain.planning.devices.measurement import fit_factors, measured_device
from lexitrain.planning.devices.processor import processor
from lexitrain.planning.devices.rates import Curve, Rates
from lexitrain.planning.devices.real_steps import Probe, launch_seconds, timed_step
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.rehearsed_step import Work
from lexitrain.planning.rehearsal.target import Target
from tests.planning.devices.test_calibration import measured

RATES = Rates(Curve(((1.0, 1e10),)), Curve(((1.0, 5e9),)), Curve(((1.0, 1e10),)), 1e-5, False)


def test_real_steps_correct_each_kind_of_work():
    truth = replace(RATES, launch=4e-5, factors={"matmul": 1.5, "elementwise": 0.7})
    steps = []
    for scale in (1, 2, 3, 5, 8, 13):
        works = [
            Work("matmul", "forward", 1e9 * scale, 1e5, 100),
            Work("elementwise", "forward", 1e5, 1e8 * scale**0.5, 300 * scale**1.5),
        ]
        steps.append((truth.seconds(works), works))
    fitted = fit_factors(RATES, steps)
    for seconds, works in steps:
        assert fitted.seconds(works) == pytest.approx(seconds, rel=0.05)
    assert fitted.factors["matmul"] == pytest.approx(1.5, rel=0.1)


def test_a_launch_is_measured_in_a_real_cut_and_is_all_that_a_cut_without_work_takes():
    device, target = torch.device("cpu"), Target.of("auto", None)
    launch = launch_seconds(target, device, torch.float32)
    assert 1e-7 < launch < 1e-3
    # As deep and as narrow, of another length: its time is that of its launches.
    deep = Probe(128, 64, 24, CutShape(1, 16, 4, ((16, 16),)), rank=4)
    seconds, works = timed_step(deep, target, device, torch.float32)
    started = sum(work.launches for work in works)
    assert started > 24 * 50
    assert 0.25 < seconds / (launch * started) < 4


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch):
    """A machine whose device is measured to be this one."""

    def there_is(device: str, kind: str, precision: str, memory: float = 16.0) -> None:
        found = measured(device, kind, precision)
        here = replace(gpu_at_hand(device, (8, 0), memory), memory=memory)
        monkeypatch.setattr(measurement, "calibrate", lambda _: found)
        monkeypatch.setattr(measurement, "device_at_hand", lambda _: here)

    return there_is


def silent(what: str) -> None:
    pass


def test_what_was_measured_is_kept_and_planned_with(finds):
    finds("NVIDIA A100-SXM4-40GB", "cuda", "bf16", 42.3)
    gpu = measured_device(find_gpu("CPU"), silent)
    assert gpu == find_gpu("A100 40GB")
    assert find_calibration(gpu, "bf16") == measured("NVIDIA A100-SXM4-40GB", "cuda", "bf16")
    finds(processor(), "cpu", "fp32")
    assert measured_device(find_gpu("CPU"), silent) == find_gpu("CPU")


def test_a_gpu_that_is_not_here_cannot_be_measured(finds):
    finds(processor(), "cpu", "fp32")
    with pytest.raises(DeviceError, match="not a L4") as caught:
        measured_device(find_gpu("L4"), silent)
    assert caught.value.where == "--calibrate"


@pytest.mark.parametrize(
    ("device", "memory"),
    [
        ("NVIDIA Unheard Of", 12.0),
        ("NVIDIA A10-12Q", 12.5),
        ("NVIDIA GeForce RTX 3080", 12.6),  # the catalogue's has 10
    ],
)
def test_a_gpu_that_the_catalogue_lacks_is_planned_with_its_measurement(
    finds, device: str, memory: float
):
    finds(device, "cuda", "bf16", memory)
    gpu = measured_device(find_gpu("CPU"), silent)
    assert (gpu.card, gpu.memory) == (device, memory)
    assert gpu.unknown > 1
    assert find_calibration(gpu, "bf16") == measured(device, "cuda", "bf16")
    assert find_calibration(gpu_at_hand("NVIDIA A10-4Q", (8, 6)), "bf16") is None
