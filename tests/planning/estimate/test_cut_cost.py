"""What a cut costs follows from the device: how long its launches take, in tokens that it computes meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lexitrain.batching import CutCost
from lexitrain.models import architecture_of
from lexitrain.planning import Planner, find_gpu, make_plan, planned_cut_cost
from lexitrain.planning.devices.rates import Curve, Rates, catalogue_rates
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.planning.estimate.step_costs import cut_cost, cut_cost_to_json
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.yaml_file import load_recipe


def cost_on(gpu: str, recipe: str = "fast", launch: float | None = None) -> CutCost:
    loaded = load_recipe(recipe)
    device = find_gpu(gpu)
    target = Target.of("auto", device.capability)
    rates = catalogue_rates(device, target.dtype, "expected")
    if launch is not None:
        rates = replace(rates, launch=launch)
    return cut_cost(architecture_of(loaded.model.base), loaded, target, rates)


def test_of_a_cpu_it_follows_from_the_shape_alone():
    architecture = architecture_of(load_recipe("fast").model.base)
    assert cost_on("cpu") == CutCost.of_shape(architecture.decoder)


def test_of_a_gpu_the_launches_of_a_cut_last_as_long_as_that_many_tokens():
    """By hand: Qwen2.5-0.5B has 24 layers of at most 70 operators, and a token takes at least its products' time."""
    loaded = load_recipe("fast")
    device = find_gpu("T4")
    decoder = architecture_of(loaded.model.base).decoder
    products = 4 * 24 * decoder.weights_per_layer / (device.peak("fp16") * device.fraction[1])
    found = cost_on("T4", launch=35e-6)
    assert 0.3 < found.launch / (24 * 70 * 35e-6 / products) < 1
    assert cost_on("T4", launch=70e-6).launch == pytest.approx(2 * found.launch, rel=1e-4)


@pytest.mark.parametrize(("launch", "fewest", "most"), [(12e-6, 200, 600), (35e-6, 600, 1600)])
def test_on_a_t4_hundreds_of_tokens_are_computed_meanwhile(launch: float, fewest: int, most: int):
    assert fewest < cost_on("T4", launch=launch).launch < most


@pytest.mark.parametrize("gpu", ["A100-40", "H100"])
@pytest.mark.parametrize("recipe", ["fast", "best"])
def test_on_a_fast_gpu_a_step_is_one_row(gpu: str, recipe: str):
    plan = Planner(find_gpu(gpu), samples=2000, calibrated=False).plan(load_recipe(recipe))
    assert plan.steps.cuts == 1
    assert plan.cut_cost.launch > plan.steps.layout_tokens / 2


@pytest.mark.parametrize("gpu", ["T4", "L4"])
def test_a_slower_host_never_gives_more_cuts(gpu: str):
    found: list[float] = []
    data = mixture_data(1000)
    for factor in (0.2, 0.5, 1, 2, 5):
        device = find_gpu(gpu)
        slower = replace(device, launch=device.launch * factor)
        plan = make_plan(load_recipe("fast"), slower, data, calibrated=False)
        found.append(plan.steps.cuts)
    assert found == sorted(found, reverse=True)
    assert (
        gpu != "T4" or found[0] > found[-1]
    )  # where hidden tiles are left out one row is best anyway


def test_a_step_takes_the_longer_of_its_work_and_its_launches():
    """Not the sum over its cuts: kernels of the next cut are started while those of this one are computed."""
    rates: Rates = catalogue_rates(find_gpu("T4"), "fp16", "expected")
    assert rates.overlapped
    plan = Planner(find_gpu("T4"), samples=1000, calibrated=False).plan(load_recipe("fast"))
    kinds = {**plan.kinds}
    launches = kinds.pop("launches")
    assert plan.step_seconds.expected >= max(launches, sum(kinds.values())) * 0.999
    assert plan.step_seconds.expected <= 1.1 * max(launches, sum(kinds.values()))


def test_a_plan_document_keeps_it():
    cost = cost_on("T4")
    assert planned_cut_cost({"cut_cost": cut_cost_to_json(cost)}) == cost
    assert planned_cut_cost({}) is None
    with pytest.raises((TypeError, ValueError)):
        planned_cut_cost({"cut_cost": {"pair": "many"}})


@pytest.mark.parametrize("gpu", ["T4", "L4", "A100-40", "H100"])
@pytest.mark.parametrize("recipe", ["fast", "best"])
def test_with_graphs_a_step_waits_for_its_work_alone(gpu: str, recipe: str):
    """Launches are at most 15 % of a step's time, and cuts are as the device's own work asks for."""
    planner = Planner(find_gpu(gpu), samples=1000, calibrated=False)
    graphs = planner.plan(load_recipe(recipe, ["step.graphs=always"]))
    assert graphs.kinds["launches"] <= 0.15 * graphs.step_seconds.expected
    plain = planner.plan(load_recipe(recipe))
    assert graphs.target.attention == plain.target.attention
    if plain.kinds["launches"] > 0.9 * plain.step_seconds.expected:  # else there is nothing to gain
        assert graphs.step_seconds.expected < plain.step_seconds.expected


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, "nan", None, []])
def test_a_cost_that_is_no_number_of_its_kind_is_refused(number: object):
    """With an infinite launch a step would be one cut, whatever its budget."""
    for name in ("pair", "floor", "launch"):
        with pytest.raises((TypeError, ValueError)):
            planned_cut_cost({"cut_cost": {name: number}})


@pytest.mark.parametrize("setting", ["lora.dropout=0.1", "model.quantization=nf4"])
def test_what_cannot_be_recorded_is_not_planned_as_if_it_were(setting: str):
    planner = Planner(find_gpu("T4"), samples=500, calibrated=False)
    wanted = planner.plan(load_recipe("fast", ["step.graphs=always", setting]))
    without = planner.plan(load_recipe("fast", ["step.graphs=never", setting]))
    assert wanted.launch == without.launch
    assert wanted.step_seconds.expected >= without.step_seconds.expected


@pytest.mark.parametrize("gpu", ["T4", "tflops=1e300 bandwidth=1e300 memory=12"])
def test_rates_by_which_more_work_takes_no_time_leave_the_cost_to_the_shape(gpu: str):
    """Measured at two sizes, a device that is barely awake at the smaller one; or a line that nobody's card is."""
    loaded, device = load_recipe("fast"), find_gpu(gpu)
    target = Target.of("auto", device.capability)
    rates = catalogue_rates(device, target.dtype, "expected")
    if gpu == "T4":
        uneven = Curve(((1e3, 1.0), (1e15, 1e30)))
        rates = replace(rates, matrix=uneven, attention=uneven, bandwidth=uneven)
    architecture = architecture_of(loaded.model.base)
    assert cut_cost(architecture, loaded, target, rates) == CutCost.of_shape(architecture.decoder)
