"""`lexitrain plan`: hours, gigabytes and disk of a run before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lexitrain.cli.options.custom_tasks import CUSTOM_TASK
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.recipe import OVERRIDES, RECIPE
from lexitrain.cli.terminal.console import console, errors_console, print_json
from lexitrain.errors import LIMIT_NOT_MET, InputError, nearest

if TYPE_CHECKING:
    from lexitrain import Gpu, Recommendation

_DEFAULT_GPU = "T4"


def plan(
    recipe: Annotated[str, RECIPE] = "fast",
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    custom_task: Annotated[list[str] | None, CUSTOM_TASK] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE|DIR",
            help="Your records. Without them: the lengths of the benchmark mixture.",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", metavar="N", min=1, help="Training samples, where no --data is given; 18,400."),
    ] = None,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu", metavar="NAME",
            help="A GPU of the catalogue, CPU, or 'name=… tflops=… bandwidth=… memory=…'.",
        ),
    ] = _DEFAULT_GPU,
    versus: Annotated[
        str | None,
        typer.Option("--versus", metavar="R2", help="Compare with this recipe, the old one."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", metavar="E",
            help="Whose step: lexitrain, or trainer: Transformers Trainer with PEFT. Beside --versus the team's slow "
            "and notebook are rehearsed in the trainer, which is what the team ran.",
        ),
    ] = None,
    versus_engine: Annotated[
        str | None,
        typer.Option("--versus-engine", metavar="E", help="The same for the recipe of --versus."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="H", help="Find the recipe for so many hours: 4, 4h, 90m or 1h30m."),
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
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:  # fmt: skip
    """Hours, memory, disk and cost of a run, before anything is rented or downloaded.

    Exit code 3: a limit that was given, --memory or --within, is not met.
    """
    from lexitrain import load_recipe, recipe_with_tasks
    from lexitrain.cli.options.durations import hours
    from lexitrain.cli.views.plan import print_calibration, print_plan

    _refuse_together({"--data": data, "--samples": samples})
    _refuse_together({"--within": within, "--versus": versus})
    _refuse_together({"--within": within, "--plot": plot})
    _refuse_together({"--within": within, "--engine": engine})
    ours, theirs = _engine(engine, "--engine"), _engine(versus_engine, "--versus-engine")
    if versus is None and theirs is not None:
        raise InputError("There is no old recipe without --versus.", where="--versus-engine")
    most_hours = None if within is None else hours(within)
    loaded = recipe_with_tasks(recipe, overrides or (), custom_task or ())
    from lexitrain import Planner

    planner = Planner(
        _device(gpu, calibrate=calibrate), data=data, samples=samples, price=price, memory_gb=memory
    )
    if most_hours is not None:
        found = planner.recommend(loaded, most_hours, overrides or ())
        warnings = [] if found.best is None else planner.warnings(found.best.plan)
        _show_recommendation(found, warnings, as_json=as_json)
        return
    comparison = None
    if versus is None:
        found = planner.plan(loaded, ours or "lexitrain")
    else:
        old = load_recipe(versus)
        comparison = planner.compare(old, loaded, old_engine=theirs, engine=ours)
        found = comparison.b
    if plot is not None:
        from lexitrain import draw_plan

        draw_plan(found, comparison, plot)
    warnings = planner.warnings(found)
    if as_json:
        document = found.to_json(warnings)
        print_json(document if comparison is None else document | comparison.to_json())
    else:
        if calibrate and found.calibration is not None:
            print_calibration(found.calibration)
        print_plan(found, warnings, comparison)
        if plot is not None:
            console().print(f"Plot: {plot}", markup=False)
    if memory is not None and not found.fits:
        raise typer.Exit(LIMIT_NOT_MET)


def _refuse_together(options: Mapping[str, object]) -> None:
    """Raises InputError where all of these are given: one of them would be passed over without a word."""
    if all(value is not None for value in options.values()):
        names = list(options)
        raise InputError(f"Give {' or '.join(names)}, not both.", where=names[-1])


def _engine(name: str | None, option: str) -> Literal["lexitrain", "trainer"] | None:
    """Raises InputError for what is no engine."""
    if name in (None, "lexitrain", "trainer"):
        return name
    close = nearest(name, ("lexitrain", "trainer"))
    raise InputError(
        f"There is no engine '{name}'.",
        where=option,
        fix=(f"Did you mean {close}? " if close else "") + "There are: lexitrain, trainer.",
    )


def _device(name: str, *, calibrate: bool) -> Gpu:
    """The device to plan for, measured first where that was asked."""
    from lexitrain import find_gpu, with_installed_memory

    # Whoever measures and names no GPU means this machine, whatever it has.
    asked = find_gpu("CPU" if calibrate and name == _DEFAULT_GPU else name)
    if not calibrate:
        return with_installed_memory(asked)
    from lexitrain import measured_device

    out = errors_console()
    measured = measured_device(asked, lambda what: out.print(f"measuring: {what}", markup=False))
    return with_installed_memory(measured)


def _show_recommendation(found: Recommendation, warnings: list[str], *, as_json: bool) -> None:
    """What to take; exit code 3 when nothing fits."""
    from lexitrain.cli.views.plan import print_recommendation

    if as_json:
        print_json(found.to_json() | {"warnings": warnings})
    else:
        print_recommendation(found, warnings)
    if found.best is None:
        raise typer.Exit(LIMIT_NOT_MET)
