"""A plan: hours, memory, disk and money of a run that has not begun.

The work of its steps comes from rehearsals (`step_costs.py`), their shapes from the data (`planned_steps.py`), the
device's rates from the catalogue or from a calibration. Nothing is trained and nothing downloaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lexitrain.batching import CutCost
from lexitrain.models import architecture_of
from lexitrain.planning.devices.calibration import BAND, Calibration, find_calibration
from lexitrain.planning.devices.rates import Level, Rates, catalogue_rates, in_graphs
from lexitrain.planning.estimate.automatic_settings import decide
from lexitrain.planning.estimate.disk import Disk, disk_use
from lexitrain.planning.estimate.planned_steps import (
    PlannedData,
    PlannedSteps,
    StepShape,
    plan_steps,
)
from lexitrain.planning.estimate.step_costs import (
    cut_cost,
    cut_cost_to_json,
    is_recorded,
    step_costs,
)
from lexitrain.planning.rehearsal.rehearsed_step import ARITHMETIC
from lexitrain.planning.rehearsal.target import Engine, Target

if TYPE_CHECKING:
    from lexitrain.planning.devices.catalogue import Gpu
    from lexitrain.planning.estimate.step_costs import StepCosts
    from lexitrain.planning.rehearsal.rehearsed_step import Memory
    from lexitrain.recipe import Recipe

LEVELS: tuple[Level, ...] = ("low", "expected", "high")
_LAYOUT_SECONDS = 0.002
"""Laying out a step of 24 samples takes a worker about this long, on one core of a server's CPU."""
_RENDER_SECONDS = 0.00015
"""Rendering and tokenizing one sample, once a run, on the same."""
_VISIBLE = 0.98
"""Share of a GPU's memory as sold that a process can see; the driver and error correction keep the rest. An assumption:
it depends on the card and on whether error correction is on."""

DataFor = Callable[["Recipe"], PlannedData]
"""Gives the samples for a recipe: rendered with its base's tokenizer, within its max_length."""


@dataclass(frozen=True, slots=True)
class Band:
    """A quantity with its likely range."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> Band:
        """The band in another unit."""
        return Band(self.low * factor, self.expected * factor, self.high * factor)

    def to_json(self, digits: int = 3) -> dict[str, float]:
        """Rounded to so many digits after the point."""
        return {level: round(getattr(self, level), digits) for level in LEVELS}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is foreseen for one recipe on one device.

    Attributes:
        recipe: with every automatic choice made.
        gpu: the device.
        target: precision and attention kernel on it.
        calibration: the measurement used, if there is one.
        data, steps: what is trained on, and the shapes of its steps.
        memory: bytes at the peak.
        memory_limit: bytes that there are.
        step_seconds: of one optimizer step.
        hours: of the whole run.
        parts: expected hours by part: training, validation, checkpoints, data.
        kinds: expected seconds a step by kind of work, of one process where several share it.
        launch: seconds that starting one operation takes.
        launches: operations that a step starts in one process, kernels on a GPU.
        disk: checkpoint bytes.
        price: dollars an hour, or None.
        flops: arithmetic of a step.
        trainable_parameters, base_parameters: of the adapter, of the frozen base.
        choices: automatic settings and what they became, as `field: value`.
        cut_cost: what a cut costs there, by which steps are cut.
    """

    recipe: Recipe
    gpu: Gpu
    target: Target
    calibration: Calibration | None
    data: PlannedData
    steps: PlannedSteps
    memory: Memory
    memory_limit: float
    step_seconds: Band
    hours: Band
    parts: dict[str, float]
    kinds: dict[str, float]
    launch: Band
    launches: float
    disk: Disk
    price: float | None
    flops: float
    trainable_parameters: int
    base_parameters: int
    choices: dict[str, str]
    cut_cost: CutCost

    @property
    def engine(self) -> Engine:
        """Whose step it is."""
        return self.target.engine

    @property
    def fits(self) -> bool:
        """Whether the device's memory holds it, the runtime's own share included."""
        return self.memory.device_total <= self.memory_limit

    @property
    def cost(self) -> Band | None:
        """Dollars for the whole run."""
        return None if self.price is None else self.hours.times(self.price)

    @property
    def basis(self) -> Literal["measured", "fitted", "catalogue"]:
        """How the device's speed is known."""
        return "measured" if self.calibration else self.gpu.status

    def to_json(self, warnings: Sequence[str] | None = None) -> dict[str, Any]:
        """The plan as the JSON document of `lexitrain plan --json` and of a run's plan.json.

        Args:
            warnings: are added where given; a run's plan.json has none.
        """
        memory = self.memory
        gigabytes = {name: round(size / 1e9, 4) for name, size in memory.parts().items()}
        document: dict[str, Any] = {
            "recipe": self.recipe.name,
            "engine": self.engine,
            "gpu": self.gpu.name,
            "basis": self.basis,
            "base": self.recipe.model.base,
            "precision": self.target.dtype,
            "data": {"source": self.data.source, "exact": self.data.exact},
            "samples": self.steps.samples,
            "steps": self.steps.total_steps,
            "step_seconds": float(f"{self.step_seconds.expected:.4g}"),
            "hours": self.hours.to_json(),
            "hours_by_part": {part: round(hours, 4) for part, hours in self.parts.items()},
            "step_seconds_by_kind": {
                kind: float(f"{each:.3g}") for kind, each in self.kinds.items()
            },
            "launches_per_step": round(self.launches),
            "launch_us": self.launch.times(1e6).to_json(2),
            "memory_gb": {
                **gigabytes,
                "peak": round(memory.peak / 1e9, 4),
                "reserved": round(memory.reserved / 1e9, 4),
                "device_total": round(memory.device_total / 1e9, 4),
                "limit": round(self.memory_limit / 1e9, 4),
            },
            "checkpoint_mb": {
                "each": round(self.disk.each / 1e6, 1),
                "kept": round(self.disk.kept / 1e6, 1),
                "mirror": round(self.disk.mirror / 1e6, 1),
            },
            "fits": self.fits,
            "trainable_parameters": self.trainable_parameters,
            "flops_per_step": round(self.flops),
            "layout_tokens_per_step": round(self.steps.layout_tokens, 1),
            "supervised_tokens_per_step": round(self.steps.supervised_tokens, 1),
            "cuts_per_step": round(self.steps.cuts, 2),
            "cut_cost": cut_cost_to_json(self.cut_cost),
            "choices": self.choices,
            "cost": None if self.cost is None else self.cost.to_json(2),
        }
        return document if warnings is None else document | {"warnings": list(warnings)}


PlanOf = Callable[["Recipe"], Plan]
"""Plans a recipe in this product's step, for one device and one set of records."""


def make_plan(
    recipe: Recipe,
    gpu: Gpu,
    data_for: DataFor,
    *,
    memory_limit: float | None = None,
    price: float | None = None,
    calibrated: bool = True,
    engine: Engine = "lexitrain",
) -> Plan:
    """Plan a run.

    Args:
        recipe: automatic settings are decided here as training would decide them on this device.
        gpu: the device.
        data_for: its samples.
        memory_limit: bytes; what the device has where not given.
        price: dollars an hour; the catalogue's where not given.
        calibrated: use a measurement of the device where there is one.
        engine: whose step: this product's, or that of the usual trainer, whose attention is over whole rows.

    Raises:
        InputError: the base's shape cannot be had, there is nothing to train on, or the device cannot compute
            attention as the recipe asks.
    """
    architecture = architecture_of(recipe.model.base, recipe.model.revision)
    target = Target.of(
        recipe.model.precision,
        gpu.capability,
        recipe.step.attention if engine == "lexitrain" else "auto",
        recipe.step.layout,
        architecture.config,
        recorded=engine == "lexitrain" and recipe.step.graphs == "always",
    )
    if engine == "trainer":
        target = target.for_trainer()
    limit = _VISIBLE * 1e9 * gpu.memory if memory_limit is None else memory_limit
    data = data_for(recipe)

    calibration = find_calibration(gpu, target.dtype) if calibrated else None
    eager: Mapping[Level, Rates] = {
        level: _rates(gpu, target.dtype, level, calibration) for level in LEVELS
    }

    def rates_of(each: Recipe) -> Mapping[Level, Rates]:
        if not is_recorded(architecture, each, target):
            return eager
        return {level: in_graphs(eager[level], level) for level in LEVELS}

    def cost_of(each: Recipe) -> CutCost:
        if engine == "trainer":  # it cuts by the number of samples
            return CutCost.of_shape(architecture.decoder)
        return cut_cost(architecture, each, target, rates_of(each)["expected"])

    def steps_of(each: Recipe) -> PlannedSteps:
        return plan_steps(each, data, architecture, target, cost_of(each), gpu.count)

    decided = decide(recipe, architecture, target, limit, steps_of)
    steps = steps_of(decided.recipe)
    costs = step_costs(architecture, decided.recipe, target)
    rates = rates_of(decided.recipe)
    disk = disk_use(architecture.config, decided.recipe, steps.total_steps)
    exchanged = 4.0 * costs.trainable_parameters
    seconds = {
        level: mean_step_seconds(steps.shares, costs, rates[level], eager[level])
        + gpu.exchange_seconds(exchanged, level)
        for level in LEVELS
    }
    totals = {
        level: _run_seconds(decided.recipe, steps, costs, rates[level], seconds[level], disk)
        for level in LEVELS
    }
    launch = {level: rates[level].launch for level in LEVELS}
    if calibration is not None:
        launch = {level: launch[level] * BAND[level] for level in LEVELS}
        seconds = {level: seconds[level] * BAND[level] for level in LEVELS}
        totals = {
            level: {part: each * BAND[level] for part, each in totals[level].items()}
            for level in LEVELS
        }
    # Of one process: what its share of a step takes on the average.
    shares = tuple(share for step in steps.shares for share in step)
    launches = _mean_launches(shares, costs)
    kinds = _mean_by_kind(shares, costs, rates["expected"])
    if gpu.count > 1:
        kinds["exchange"] = gpu.exchange_seconds(exchanged, "expected")
    return Plan(
        recipe=decided.recipe,
        gpu=gpu,
        target=target,
        calibration=calibration,
        data=data,
        steps=steps,
        memory=decided.memory,
        memory_limit=limit,
        step_seconds=Band(**seconds),
        hours=Band(**{level: sum(totals[level].values()) / 3600 for level in LEVELS}),
        parts={part: each / 3600 for part, each in totals["expected"].items()},
        kinds=kinds | {"launches": launches * launch["expected"]},
        launch=Band(**launch),
        launches=launches,
        disk=disk,
        price=gpu.price if price is None else price,
        flops=_mean_flops(steps.spread, costs),
        trainable_parameters=costs.trainable_parameters,
        base_parameters=costs.base_parameters,
        choices=decided.choices,
        cut_cost=cost_of(decided.recipe),
    )


def mean_step_seconds(
    steps: tuple[tuple[StepShape, ...], ...],
    costs: StepCosts,
    rates: Rates,
    of_update: Rates | None = None,
) -> float:
    """Mean time of an optimizer step over these steps: all cuts of the process with most to do, and the update, before
    which a step waits.

    Args:
        steps: each as the shares of its processes.
        costs, rates: of any cut, and of the device.
        of_update: of the device where nothing is recorded, as the update never is; `rates` where not given.
    """

    def seconds(share: StepShape) -> float:
        return rates.seconds(work for cut in share for work in costs.operations(cut))

    counted = Counter(steps)  # padded steps are all alike
    cuts = sum(count * max(map(seconds, step)) for step, count in counted.items())
    return cuts / len(steps) + (of_update or rates).seconds(costs.update)


def _rates(gpu: Gpu, precision: str, level: Level, calibration: Calibration | None) -> Rates:
    if calibration is not None:
        return calibration.rates()
    return catalogue_rates(gpu, precision, level)


def _run_seconds(
    recipe: Recipe,
    steps: PlannedSteps,
    costs: StepCosts,
    rates: Rates,
    step_seconds: float,
    disk: Disk,
) -> dict[str, float]:
    """Seconds of the whole run by part."""
    workers = recipe.data.workers
    # Workers lay the next steps out while this one is computed; only what exceeds it is waited for.
    layout = _LAYOUT_SECONDS * recipe.step.effective_batch / 24
    waited = layout if workers == 0 else max(0.0, layout / workers - step_seconds)
    rendered = _RENDER_SECONDS * (steps.samples + recipe.step.effective_batch)
    return {
        "training": steps.total_steps * step_seconds,
        "validation": _validation_seconds(recipe, steps, costs, rates),
        "checkpoints": disk.seconds,
        "data": steps.total_steps * waited + rendered,
    }


def _validation_seconds(
    recipe: Recipe, steps: PlannedSteps, costs: StepCosts, rates: Rates
) -> float:
    """Forward passes over the validation samples: before training, whenever they are due, and at the end."""
    if not steps.validation:
        return 0.0
    forward = [
        rates.seconds(work for work in costs.operations(cut) if work.phase == "forward")
        for batch in steps.validation
        for cut in batch
    ]
    once = sum(forward) / len(steps.validation) * steps.validation_batches
    return once * (1 + -(-steps.total_steps // recipe.validation_every))


def _mean_by_kind(steps: tuple[StepShape, ...], costs: StepCosts, rates: Rates) -> dict[str, float]:
    """Seconds of a step by kind of work."""
    works = [work for step in steps for cut in step for work in costs.operations(cut)]
    found = {kind: each / len(steps) for kind, each in rates.by_kind(works).items()}
    for kind, each in rates.by_kind(costs.update).items():
        found[kind] = found.get(kind, 0.0) + each
    return found


def _mean_launches(steps: tuple[StepShape, ...], costs: StepCosts) -> float:
    """Operations that a step starts."""
    cuts = sum(work.launches for step in steps for cut in step for work in costs.operations(cut))
    return cuts / len(steps) + sum(work.launches for work in costs.update)


def _mean_flops(steps: tuple[StepShape, ...], costs: StepCosts) -> float:
    """Arithmetic of a step: matrix products and attention."""
    total = sum(
        work.flops
        for step in steps
        for cut in step
        for work in costs.operations(cut)
        if work.kind in ARITHMETIC
    )
    return total / len(steps)
