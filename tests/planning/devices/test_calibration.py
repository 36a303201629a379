"""What a device was measured to do is kept, found again, and used."""

from __future__ import annotations

import json

import pytest

from lexitrain.planning.devices.calibration import (
    Calibration,
    calibration_folder,
    damaged_calibrations,
    find_calibration,
    save_calibration,
)
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.devices.local import gpu_at_hand
from lexitrain.planning.devices.processor import processor
from lexitrain.planning.estimate.plan import make_plan
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.planning.estimate.warnings import warnings_of
from lexitrain.recipe.yaml_file import load_recipe

DEMO = load_recipe("demo")


def measured(device: str, kind: str, precision: str) -> Calibration:
    points = ((1.0, 1e11),)
    return Calibration(
        device=device,
        kind=kind,
        precision=precision,
        date="2026-01-01",
        torch="2",
        matrix=points,
        attention=points,
        bandwidth=points,
        launch=1e-5,
        factors={"matmul": 2.0},
        steps=({"what": "one", "measured": 1.0, "predicted": 1.1},),
    )


def test_a_gpu_is_found_by_its_name_and_precision():
    gpu = find_gpu("T4")
    save_calibration(measured("Tesla T4", "cuda", "fp16"))
    found = find_calibration(gpu, "fp16")
    assert found == measured("Tesla T4", "cuda", "fp16")
    assert find_calibration(gpu, "fp32") is None
    assert find_calibration(find_gpu("L4"), "fp16") is None


def test_a_gpu_that_the_catalogue_does_not_know_is_planned_by_its_own_measurement():
    name = "NVIDIA Imagined 9000"
    new, old = gpu_at_hand(name, (12, 0)), gpu_at_hand(name, (7, 5))
    assert (new.name, old.name) == (f"{name} (speed of L4)", f"{name} (speed of T4)")
    assert new.peak("bf16") > 10 * old.peak("fp32")
    assert (new.price, new.capability) == (None, (12, 0))
    assert find_calibration(new, "bf16") is None
    save_calibration(measured("NVIDIA Another 1", "cuda", "bf16"))
    assert find_calibration(new, "bf16") is None
    save_calibration(measured(name, "cuda", "bf16"))
    assert find_calibration(new, "bf16") is not None
    assert find_calibration(find_gpu("L4"), "bf16") is None


def test_another_processor_is_not_this_one():
    save_calibration(measured("some other processor", "cpu", "fp32"))
    assert find_calibration(find_gpu("CPU"), "fp32") is None
    save_calibration(measured(processor(), "cpu", "fp32"))
    assert find_calibration(find_gpu("CPU"), "fp32") is not None


def test_a_damaged_file_is_as_if_there_were_none():
    path = save_calibration(measured("NVIDIA L4", "cuda", "bf16"))
    assert path.parent == calibration_folder()
    path.write_text("{")
    assert find_calibration(find_gpu("L4"), "bf16") is None
    assert damaged_calibrations() == [path]
    path.unlink()


BAD = [
    "", "{}", "[]", "null", "7", '"text"', "[" * 5000, "{\"format\": 1}", "\x00\xff",
]  # fmt: skip
WRONG = [
    ("format", 2), ("format", "1"), ("matrix", []), ("matrix", [[1.0]]), ("matrix", [[1.0, -1.0]]),
    ("attention", [[2.0, 1.0], [1.0, 1.0]]), ("bandwidth", [[0.0, 1.0]]), ("bandwidth", None),
    ("launch", "1e-5"), ("launch", 0), ("launch", float("nan")), ("factors", []), ("factors", {"matmul": None}),
    ("steps", 5), ("steps", [{}]), ("device", None), ("kind", 3), ("unheard", 1),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_whatever_a_file_holds_it_is_no_traceback(text: str):
    path = save_calibration(measured("NVIDIA L4", "cuda", "bf16"))
    path.write_text(text, encoding="latin-1")
    plan = make_plan(DEMO, find_gpu("L4"), mixture_data(100))
    assert plan.basis == "catalogue"
    assert any(str(path) in warning for warning in warnings_of(plan, path.parent))
    path.unlink()


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_field_that_is_wrong_makes_it_none(field: str, value: object):
    path = save_calibration(measured("NVIDIA L4", "cuda", "bf16"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {field: value}))
    assert damaged_calibrations() == [path]
    path.write_text(json.dumps(content))
    assert damaged_calibrations() == []
    path.unlink()


def test_a_plan_uses_the_measurement_and_says_so():
    recipe = load_recipe("fast", ["model.base=nano"])
    save_calibration(measured("NVIDIA A10G", "cuda", "bf16"))
    plan, without = (
        make_plan(recipe, find_gpu("A10G"), mixture_data(100), calibrated=each)
        for each in (True, False)
    )
    assert (plan.basis, without.basis) == ("measured", "catalogue")
    assert plan.hours.expected != without.hours.expected
    assert plan.hours.high == pytest.approx(1.15 * plan.hours.expected)
