"""What is said of a machine's facts: those of a T4, of two, of a build without CUDA, of a processor."""

from __future__ import annotations

import re

import pytest

from lexitrain.diagnosis.machine_facts import MachineFacts, SeenGpu
from lexitrain.diagnosis.preflight.machine_checks import (
    gpu_check,
    machine_checks,
    precision_check,
    several_gpus_check,
    workers_check,
)
from lexitrain.recipe.yaml_file import load_recipe

T4 = SeenGpu("Tesla T4", (7, 5), 15_000_000_000, 15_800_000_000)
A100 = SeenGpu("NVIDIA A100-SXM4-40GB", (8, 0), 40_000_000_000, 42_000_000_000)


def on(*gpus: SeenGpu, **facts: object) -> MachineFacts:
    listed = tuple(each.name for each in gpus)
    return MachineFacts(
        **{
            "gpus": gpus,
            "driver_gpus": listed,
            "torch": "2.13.0",
            "torch_cuda": "12.6",
            "cores": 2,
            **facts,
        }  # pyright: ignore[reportArgumentType]
    )


def test_a_gpu_that_pytorch_sees_is_well():
    check = gpu_check(on(T4))
    assert (check.verdict, "Tesla T4 (15.8 GB)" in check.found) == ("ok", True)
    assert gpu_check(MachineFacts()).verdict == "ok"
    mac = gpu_check(MachineFacts(apple=True, threads=8))
    assert mac.verdict == "warn"
    assert "This Mac's GPU is not used: it trains on 8 processor" in mac.found
    assert "MPS" in mac.why


def test_a_build_without_cuda_is_told_apart_from_an_old_driver():
    without = MachineFacts(driver_gpus=("Tesla T4",), torch="2.13.0+cpu", torch_cuda=None)
    check = gpu_check(without)
    assert check.verdict == "warn"
    assert "this build of PyTorch has no CUDA" in check.found
    old = MachineFacts(
        driver_gpus=("Tesla T4",), driver="470.82", torch="2.13.0", torch_cuda="12.6"
    )
    check = gpu_check(old)
    assert check.verdict == "warn"
    assert "CUDA 12.6, and the driver is 470.82" in check.found
    assert "Renew the driver" in check.fix


@pytest.mark.parametrize(
    ("precision", "facts", "verdict", "taken"),
    [
        ("auto", on(T4), "ok", "fp16"),
        ("bf16", on(T4), "warn", "fp16"),
        ("fp32", on(T4), "warn", "fp16"),
        ("bf16", on(A100), "ok", "bf16"),
        ("auto", on(A100), "ok", "bf16"),
        ("auto", MachineFacts(), "ok", "fp32"),
        ("bf16", MachineFacts(), "warn", "fp32"),
    ],
)
def test_precision_is_judged_by_the_compute_capability(precision, facts, verdict, taken):
    check = precision_check(load_recipe("demo", [f"model.precision={precision}"]), facts)
    assert check.verdict == verdict
    assert taken in check.found + check.fix


def test_a_second_gpu_without_a_process_is_told_with_the_command():
    check = several_gpus_check(on(T4, T4))
    assert check.verdict == "warn"
    assert "torchrun --nproc-per-node 2 -m lexitrain -- train" in check.fix
    assert several_gpus_check(on(T4, T4, processes=2)).verdict == "ok"
    assert several_gpus_check(on(T4)).verdict == "ok"


def test_torchrun_takes_the_line_that_is_given_with_run_behind_it():
    """Without the two hyphens it takes --run for an abbreviation of its own --run-path, and refuses."""
    from torch.distributed.run import get_args_parser

    line = re.findall(r"`torchrun (.*) …`", several_gpus_check(on(T4, T4)).fix)[0]
    parsed = get_args_parser().parse_args([*line.split(), "--run", "runs/first"])
    assert (parsed.training_script, parsed.module) == ("lexitrain", True)
    assert parsed.training_script_args[-3:] == ["train", "--run", "runs/first"]


@pytest.mark.parametrize(
    ("workers", "facts", "verdict"),
    [
        (2, on(T4), "ok"),
        (0, on(T4), "warn"),
        (0, MachineFacts(cores=2), "ok"),
        (8, on(T4), "warn"),
        (8, on(T4, cores=12), "ok"),
    ],
)
def test_workers_are_held_against_cores(workers, facts, verdict):
    assert workers_check(load_recipe("demo", [f"data.workers={workers}"]), facts).verdict == verdict


def test_what_is_not_well_says_why_and_what_to_do():
    bad = on(T4, T4, cores=1)
    recipe = load_recipe("demo", ["model.precision=bf16", "data.workers=9"])
    checks = {each.name: each for each in machine_checks(recipe, bad)}
    assert [name for name, each in checks.items() if each.verdict == "warn"] == [
        "precision",
        "processes",
        "workers",
    ]
    assert all(each.why and each.fix for each in checks.values() if each.verdict != "ok")
