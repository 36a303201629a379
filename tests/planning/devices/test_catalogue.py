"""GPUs by name, by what a driver calls them, and described by the user."""

from __future__ import annotations

import json

import pytest

from lexitrain.errors import InputError
from lexitrain.planning.devices.catalogue import find_gpu, gpu_names, named_like
from lexitrain.planning.devices.local import gpu_at_hand
from lexitrain.planning.devices.rates import catalogue_rates
from tests.paths import ROOT

PROMISED = (
    "T4", "T4 x2", "P100", "V100", "L4", "A10G", "A10", "RTX A6000", "L40S", "A100-40", "A100-80", "H100", "H200",
    "GH200", "B200", "RTX 3050", "RTX 3060", "RTX 3070", "RTX 3080", "RTX 4060", "RTX 3090", "RTX 4070", "RTX 4080",
    "RTX 4090", "RTX 5060", "RTX 5070", "RTX 5080", "RTX 5090", "CPU",
)  # fmt: skip


def test_the_promised_devices_are_there_with_their_sources():
    assert tuple(gpu_names()) == PROMISED
    for name in PROMISED:
        gpu = find_gpu(name)
        assert gpu.source["figures"], name
        assert 0 < gpu.fraction[0] <= gpu.fraction[1] <= gpu.fraction[2] < 1, name
        assert (gpu.price is None) == ("price" not in gpu.source), name


@pytest.mark.parametrize("name", [name for name in gpu_names() if not find_gpu(name).is_cpu])
def test_the_range_of_a_launch_holds_our_figure_and_what_others_measured(name: str):
    gpu = find_gpu(name)
    low, high = (gpu.launch * factor for factor in gpu.launch_factors)
    # 15 us: a fast host. 0.25 to 0.4 s for the 4,705 launches of a micro-batch of 0.5B: a slow one.
    assert low < 15
    assert high >= 1e6 * 0.4 / 4705 - 0.1
    assert "unsloth" in gpu.source["launch"]


def test_the_fitted_share_is_the_one_that_was_fitted():
    results = ROOT / "benchmarks" / "results"
    fitted = json.loads((results / "fit_t4.json").read_text(encoding="utf-8"))
    gpu = find_gpu("T4")
    assert gpu.status == "fitted"
    assert list(gpu.fraction) == fitted["fraction"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("t4", "T4"), ("rtx3060", "RTX 3060"), ("4090", "RTX 4090"), ("A100 80GB", "A100-80"), ("cpu", "CPU"),
     ("2x T4", "T4 x2"), ("kaggle", "T4 x2"), ("A6000", "RTX A6000"), ("rtx5070", "RTX 5070")],
)  # fmt: skip
def test_spelling_is_forgiven(text: str, name: str):
    assert find_gpu(text).name == name


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("NVIDIA A100 80GB PCIe", "A100-80"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GeForce RTX 3050", "RTX 3050"),
        ("Tesla V100-SXM2-32GB", "V100"),
        ("Tesla P100-PCIE-16GB", "P100"),
        ("NVIDIA A100-PCIE-40GB", "A100-40"),
        ("NVIDIA A100-SXM4-80GB", "A100-80"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA GeForce RTX 5090", "RTX 5090"),
    ],
)
def test_what_a_driver_calls_a_device_is_recognized(device: str, name: str):
    found = named_like(device)
    assert found is not None
    assert found.name == name


UNKNOWN = (
    "NVIDIA L40", "NVIDIA GeForce RTX 3060 Ti", "AMD MI300X", "NVIDIA GeForce RTX 5090 D", "NVIDIA GeForce RTX 5070 Ti",
    "NVIDIA GeForce RTX 4080 SUPER", "NVIDIA GeForce RTX 3070 Laptop GPU", "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
    "NVIDIA H100 NVL", "NVIDIA H100 PCIe", "NVIDIA H200 NVL", "NVIDIA H20", "NVIDIA H800", "NVIDIA GB200",
    "NVIDIA RTX 6000 Ada Generation", "NVIDIA RTX PRO 6000 Blackwell Server Edition", "NVIDIA A100-SXM-64GB",
    "NVIDIA GH200 144G HBM3e", "NVIDIA A800-SXM4-80GB", "NVIDIA A100X", "NVIDIA A40", "NVIDIA A10M", "NVIDIA T400 4GB",
    "NVIDIA T4G", "Tesla V100S-PCIE-32GB", "Tesla V100-FHHL-16GB", "Tesla P100-PCIE-12GB", "NVIDIA L40", "NVIDIA L20",
    "NVIDIA GeForce RTX 3050 6GB Laptop GPU", "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 3080 Ti Laptop GPU",
    "GeForce RTX 2080 with Max-Q Design", "NVIDIA RTX A6000 Mobile", "Quadro RTX 6000", "NVIDIA Graphics Device", "",
)  # fmt: skip
PARTS = (
    "GRID T4-16Q", "GRID T4-1B4", "NVIDIA A10-12Q", "NVIDIA A10-24Q", "GRID A100D-3-20C", "GRID A100D-40C",
    "GRID A100-1-5CME", "NVIDIA A40-24Q", "NVIDIA L40S-48Q", "NVIDIA L4-6A", "NVIDIA H100XM-80C", "NVIDIA H200X-141C",
    "NVIDIA RTX Pro 6000 Blackwell DC-4-96Q", "NVIDIA A100-PCIE-40GB MIG 1g.5gb",
    "NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb",
)  # fmt: skip


@pytest.mark.parametrize("device", [*UNKNOWN, *PARTS])
def test_another_device_is_not_taken_for_a_known_one(device: str):
    assert named_like(device) is None


@pytest.mark.parametrize("device", PARTS)
def test_a_part_of_a_card_is_planned_as_one_of_unknown_speed(device: str):
    gpu = gpu_at_hand(device, (8, 0), 20.0)
    assert gpu.name == f"{device} (a part of a card; speed of L4)"
    assert (gpu.card, gpu.price, gpu.status) == (device, None, "catalogue")
    assert gpu.unknown > 1


@pytest.mark.parametrize("device", UNKNOWN)
def test_a_whole_card_is_not_called_a_part(device: str):
    assert ("a part of a card" in gpu_at_hand(device, (8, 0)).name) == ("MIG" in device)


def test_what_is_not_known_has_a_wide_range():
    """Whatever the work: neither arithmetic nor traffic is known."""
    known, unknown = find_gpu("T4"), gpu_at_hand("GRID T4-8Q", (7, 5), 8.0)
    for level, faster in (("low", 4), ("expected", 1), ("high", 1 / 4)):
        one, other = (catalogue_rates(each, "fp16", level) for each in (known, unknown))
        assert other.matrix.at(1e9) == pytest.approx(faster * one.matrix.at(1e9))
        assert other.bandwidth.at(1e9) == pytest.approx(faster * one.bandwidth.at(1e9))
        assert other.launch == one.launch


@pytest.mark.parametrize(
    ("device", "memory", "name"),
    [
        ("NVIDIA GeForce RTX 3080", 10.5, "RTX 3080"),
        ("NVIDIA GeForce RTX 3080", 12.6, None),
        ("NVIDIA GeForce RTX 3060", 12.5, "RTX 3060"),
        ("NVIDIA GeForce RTX 3060", 8.5, None),
        ("Tesla T4", 15.8, "T4"),
        ("Tesla T4", 4.0, None),
        ("Tesla V100-SXM2-32GB", 34.1, "V100"),
        ("NVIDIA A10G", 22.5, "A10G"),
        ("NVIDIA L40S", 47.7, "L40S"),
        ("NVIDIA H100 80GB HBM3", 85.0, "H100"),
        ("NVIDIA B200", 191.5, "B200"),
    ],
)
def test_another_memory_is_another_device(device: str, memory: float, name: str | None):
    """The 12 GB RTX 3080 and the 8 GB RTX 3060 have another bandwidth, and the driver calls them the same."""
    found = named_like(device, memory)
    assert (found and found.name) == name
    assert (gpu_at_hand(device, (8, 0), memory).unknown == 1) == (name is not None)


def test_an_unknown_gpu_names_the_nearest():
    with pytest.raises(InputError, match="RTX4099") as caught:
        find_gpu("RTX4099")
    assert "Did you mean RTX 4090?" in (caught.value.fix or "")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["M3", "Apple M2 Max", "m1 pro", "mps"])
def test_an_apple_gpu_is_refused_with_what_is_used_instead(name: str):
    with pytest.raises(InputError, match="Apple") as caught:
        find_gpu(name)
    assert caught.value.where == "--gpu"
    assert "the processor trains" in (caught.value.fix or "")
    assert "--gpu CPU" in (caught.value.fix or "")


def test_two_cards_are_two_of_one():
    one, two = find_gpu("T4"), find_gpu("T4 x2")
    assert (two.count, two.card) == (2, "T4")
    assert (one.count, one.card, one.exchange_seconds(1e9, "high")) == (1, "T4", 0.0)
    for figure in ("memory", "tflops", "bandwidth", "capability", "fraction", "launch", "status"):
        assert getattr(two, figure) == getattr(one, figure)
    assert two.exchange_seconds(1e9, "low") < two.exchange_seconds(1e9, "high")
    # Two cards: each sends and receives the size once.
    assert two.exchange_seconds(6e9, "expected") == pytest.approx(1.0)


@pytest.mark.parametrize(
    "name", [name for name in PROMISED if name.startswith("RTX ") and "A6000" not in name]
)
def test_consumer_cards_have_tensor_rates_of_twice_the_fp32_rate(name: str):
    gpu = find_gpu(name)
    assert gpu.peak("fp16") == gpu.peak("bf16") == pytest.approx(2 * gpu.peak("fp32"), rel=0.01)


def test_a_gpu_of_ones_own():
    gpu = find_gpu("name=My Card tflops=40 bandwidth=500 memory=12 price=0.2")
    assert (gpu.name, gpu.memory, gpu.bandwidth, gpu.price) == ("My Card", 12, 500, 0.2)
    assert gpu.peak("bf16") == gpu.peak("fp16") == 40e12
    assert gpu.peak("fp32") == 10e12
    old = find_gpu("name=Old tflops=40 bandwidth=500 memory=12 capability=7.0")
    assert old.peak("bf16") == old.peak("fp32")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name=X tflops=40 memory=12", "lacks bandwidth"),
        ("tflops=many bandwidth=500 memory=12", "above 0"),
        ("tflops=40 bandwidth=500 memory=-1", "above 0"),
        ("tflops=40 bandwith=500 memory=12", "bandwith"),
        ("tflops=40 bandwidth=500 memory=12 capability=new", "capability"),
        ("big tflops=40 bandwidth=500 memory=12", "big"),
    ],
)
def test_a_wrong_description_is_refused(text: str, says: str):
    with pytest.raises(InputError, match=says):
        find_gpu(text)
