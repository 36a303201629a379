"""`lexitrain plan`: hours, gigabytes and disk of a run before it begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.console import console, errors_console, print_json

if TYPE_CHECKING:
    from lexitrain.planning.devices.catalogue import Gpu
    from lexitrain.planning.estimate.plan import Plan
    from lexitrain.planning.estimate.versus import Comparison
    from lexitrain.recipe.schema import Recipe


def plan(
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="R", help="A shipped recipe or a YAML file.")
    ] = "fast",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE|DIR",
            help="Your records. Without them: the lengths of the benchmark mixture.",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Training samples, where no --data is given; 18,400."),
    ] = None,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu", metavar="NAME",
            help="A GPU of the catalogue, CPU, or 'name=… tflops=… bandwidth=… memory=…'.",
        ),
    ] = "T4",
    versus: Annotated[
        str | None,
        typer.Option("--versus", metavar="R2", help="Compare with this recipe, the old one."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="H", help="Find the recipe for so many hours: 4, 4h or 90m."),
    ] = None,
    memory: Annotated[
        float | None, typer.Option("--memory", metavar="GB", min=0.01, help="Most memory to use.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", metavar="$", min=0, help="Dollars an hour.")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure this machine first; later plans for it use that."),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw memory and levers.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:  # fmt: skip
    """Hours, memory, disk and cost of a run, before anything is rented or downloaded."""
    from lexitrain.cli.views.plan import print_calibration, print_plan
    from lexitrain.planning.devices.catalogue import find_gpu
    from lexitrain.planning.estimate.plan import plan_json
    from lexitrain.recipe.yaml_file import load_recipe

    hours = None if within is None else _hours(within)
    loaded = load_recipe(recipe, overrides or ())
    chosen = _with_own_memory(find_gpu("CPU" if calibrate and gpu == "T4" else gpu))
    if calibrate:
        chosen = _calibrate(chosen)
    plan_of = _planner(chosen, data, samples, price, memory)
    if within is not None:
        _search(loaded, plan_of, hours, memory, as_json=as_json)
        return
    found = plan_of(loaded)
    comparison = _compare(versus, loaded, plan_of)
    if plot is not None:
        from lexitrain.reporting.plan_plot import draw_plan

        draw_plan(found, comparison, plot)
    notes = _notes(found)
    if as_json:
        document = plan_json(found) | {"warnings": notes}
        if comparison is not None:
            document |= comparison.to_json()
        print_json(document)
    else:
        if calibrate and found.calibration is not None:
            print_calibration(found.calibration)
        print_plan(found, notes, comparison)
        if plot is not None:
            console().print(f"Plot: {plot}", markup=False)
    if memory is not None and not found.fits:
        raise typer.Exit(3)


def _hours(text: str) -> float:
    """Hours from `4`, `4h` or `90m`. Raises InputError."""
    from lexitrain.errors import InputError

    number = text.strip().lower()
    scale = 60.0 if number.endswith("m") else 1.0
    try:
        hours = float(number.removesuffix("m").removesuffix("h")) / scale
    except ValueError:
        hours = -1.0
    if not 0 < hours < float("inf"):
        raise InputError(
            f"'{text}' is no length of time.", where="--within", fix="Write 4, 4h or 90m."
        )
    return hours


def _with_own_memory(gpu: Gpu) -> Gpu:
    """A CPU plans with the memory of this machine."""
    import os
    from dataclasses import replace

    if not gpu.is_cpu or not hasattr(os, "sysconf"):
        return gpu
    return replace(gpu, memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _calibrate(asked: Gpu) -> Gpu:
    """Measure the device at hand, keep it, and return the catalogue's entry to plan with."""
    from lexitrain.errors import InputError
    from lexitrain.planning.devices.calibration import save_calibration
    from lexitrain.planning.devices.catalogue import named_like
    from lexitrain.planning.devices.measurement import calibrate

    out = errors_console()
    measured = calibrate(lambda what: out.print(f"measuring: {what}", markup=False))
    save_calibration(measured)
    if measured.kind == "cpu":
        if not asked.is_cpu:
            raise InputError(
                f"This machine has no GPU, so the CPU was measured, not a {asked.name}.",
                where="--calibrate",
                fix="Run it on the machine that has the GPU, or plan with --gpu CPU.",
            )
        return asked
    like = named_like(measured.device)
    if like is None:
        raise InputError(
            f"The catalogue has no {measured.device}.",
            where="--calibrate",
            fix="Describe it with --gpu 'name=… tflops=… bandwidth=… memory=…'.",
        )
    return like


def _planner(
    gpu: Gpu, data: Path | None, samples: int | None, price: float | None, memory: float | None
) -> Callable[[Recipe], Plan]:
    """Plans recipes for one device and one set of records; equal recipes once."""
    from lexitrain.planning.estimate.plan import make_plan
    from lexitrain.planning.estimate.planned_data import mixture_data, own_data
    from lexitrain.recipe.yaml_file import recipe_to_yaml

    data_for = mixture_data(samples) if data is None else own_data(data, _tokenizer)
    known: dict[str, Plan] = {}

    def plan_of(recipe: Recipe) -> Plan:
        key = recipe_to_yaml(recipe)
        if key not in known:
            limit = None if memory is None else 1e9 * memory
            known[key] = make_plan(recipe, gpu, data_for, memory_limit=limit, price=price)
        return known[key]

    return plan_of


def _tokenizer(recipe: Recipe) -> Any:
    from lexitrain.models import load_tokenizer

    return load_tokenizer(recipe.model.base, recipe.model.revision)


def _compare(
    versus: str | None, recipe: Recipe, plan_of: Callable[[Recipe], Plan]
) -> Comparison | None:
    if versus is None:
        return None
    from lexitrain.planning.estimate.versus import compare_plans
    from lexitrain.recipe.yaml_file import load_recipe

    return compare_plans(load_recipe(versus), recipe, plan_of)


def _search(
    own: Recipe,
    plan_of: Callable[[Recipe], Plan],
    hours: float | None,
    memory: float | None,
    *,
    as_json: bool,
) -> None:
    """Recommend a recipe; exit code 3 when none fits."""
    from lexitrain.cli.views.plan import print_recommendation
    from lexitrain.planning.estimate.search import RECIPES, recommend
    from lexitrain.recipe.yaml_file import load_recipe

    recipes = [load_recipe(name) for name in RECIPES]
    if own not in recipes and own.name not in {"slow", "notebook", "demo"}:
        recipes.append(own)
    found = recommend(recipes, plan_of, hours=hours, memory_gb=memory)
    if as_json:
        print_json(found.to_json())
    else:
        print_recommendation(found)
    if found.best is None:
        raise typer.Exit(3)


def _notes(plan: Plan) -> list[str]:
    """What to know, and what to change."""
    from lexitrain.planning.estimate.warnings import notes

    return notes(plan, Path.cwd())
