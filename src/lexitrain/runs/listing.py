"""What became of the runs in a folder: state, progress, losses, and the command to go on with.

All is read from the runs' own files, without torch; some milliseconds a run.
"""

from __future__ import annotations

import math
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import InputError, RunError
from lexitrain.recipe import field_text, field_value, is_free_on_resume, recipe_fields
from lexitrain.runs.checkpoint_names import MANIFEST
from lexitrain.runs.comparable import best_validation
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event
from lexitrain.runs.mirror_places import has_place, lies_in_mirror
from lexitrain.runs.task_copies import task_sources
from lexitrain.storage import user_path

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe

#: Events that a run's state follows from; others may come at any time.
_TURNS = {"started", "resumed", "stopped", "finished"}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What became of one run.

    Attributes:
        path: the run's folder.
        recipe: name of its recipe.
        state: finished, running, stopped (by its own will, resumable), interrupted (by a crash or kill, resumable) or
            broken (cannot be read).
        step, total_steps: optimizer steps done and planned.
        loss: last logged training loss, nats a supervised token.
        best_validation_loss: the lowest one measured, on the data that it is validated on now.
        checkpoint_step: of the newest checkpoint.
        checkpoint_age_seconds: since it was written.
        next: the command to give next, or why there is none.
        differs: settings in which it differs from most of the runs that are listed with it, as `lora.rank=8`.
        scores: by task, the score that decides it, as `f0.5 0.81`, of the newest evaluation in the run's folder.
    """

    path: str
    recipe: str | None
    state: str
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    best_validation_loss: float | None = None
    checkpoint_step: int | None = None
    checkpoint_age_seconds: float | None = None
    next: str = ""
    differs: tuple[str, ...] = ()
    scores: dict[str, str] = field(default_factory=dict[str, str])


def list_runs(folder: str | Path) -> list[RunSummary]:
    """What became of each run in a folder, or of the run that the folder is; by name, two levels down at most.

    Raises:
        RunError: there is no such folder.
    """
    folder = user_path(folder)
    if not folder.is_dir():
        raise RunError("There is no such folder.", where=folder, fix="Give the folder of runs.")
    paths = run_folders(folder)
    differences = told_apart([Run(path) for path in paths])
    return [replace(summarize(path), differs=differences.get(path, ())) for path in paths]


def told_apart(runs: Sequence[Run]) -> dict[Path, tuple[str, ...]]:
    """For each run the settings in which it differs from most of the others, where several can be read."""
    recipes: dict[Path, Recipe] = {}
    for run in runs:
        with suppress(InputError):
            recipes[run.path] = run.read_recipe()
    found: dict[Path, list[str]] = {path: [] for path in recipes}
    for dotted, info in recipe_fields():
        if is_free_on_resume(info) or len(recipes) < 2:
            continue
        values = {path: repr(field_value(recipe, dotted)) for path, recipe in recipes.items()}
        usual = Counter(values.values()).most_common(1)[0][0]
        for path, value in values.items():
            if value != usual:
                shown = field_text(field_value(recipes[path], dotted), ",")
                found[path].append(f"{dotted}={shown}")
    return {path: tuple(each) for path, each in found.items()}


def run_folders(folder: Path) -> list[Path]:
    """The folder itself and those at most two levels below it that hold a run, by name.

    Two levels, because a run with one adapter a task is a folder of runs.
    """
    candidates = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    return sorted({path for path in candidates if Run(path).exists()})


def summarize(path: Path) -> RunSummary:
    """What became of the run in the folder `path`; a run that cannot be read is `broken`."""
    try:
        return _summarize(Run(path))
    except InputError as error:
        return RunSummary(str(path), None, "broken", next=str(error))


def _summarize(run: Run) -> RunSummary:
    recipe, events, metrics = run.read_recipe(), run.events(), run.metrics()
    steps = run.checkpoint_steps()
    totals = [each.details["total_steps"] for each in events if "total_steps" in each.details]
    state = state_of_run(run, events)
    age = None
    if steps:
        age = time.time() - (run.checkpoint(steps[-1]) / MANIFEST).stat().st_mtime
    return RunSummary(
        path=str(run.path),
        recipe=recipe.name,
        state=state,
        step=max(
            [*steps, *(line.step for line in metrics), *(each.step for each in events)], default=0
        ),
        total_steps=totals[-1] if totals else None,
        loss=metrics[-1].loss if metrics and math.isfinite(metrics[-1].loss) else None,
        best_validation_loss=best_validation(metrics, events),
        checkpoint_step=steps[-1] if steps else None,
        checkpoint_age_seconds=None if age is None else round(age, 1),
        next=_next(run, state, recipe),
        scores=_scores(run),
    )


def _scores(run: Run) -> dict[str, str]:
    """The deciding score of each task in the newest evaluation of the run itself, not of its base; of a test split
    rather than of another file."""
    files = sorted(
        (path for path in run.evaluation.glob("*.json") if path.is_file()),
        key=lambda path: (path.stem.startswith("test"), path.stat().st_mtime),
        reverse=True,
    )
    for path in files:
        try:
            content = run.read_evaluation(path.stem)
            if content["model"] == content["base"]:
                continue
            return {
                name: f"{task['primary']} {task['scores'][task['primary']]['value']:.2f}"
                for name, task in content["tasks"].items()
            }
        except (InputError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue  # written by 0.1.0, or by something else
    return {}


def state_of_run(run: Run, events: Sequence[Event]) -> str:
    """finished, running, stopped or interrupted, as of `RunSummary.state`."""
    if run.is_locked():
        return "running"
    turns = [each.event for each in events if each.event in _TURNS]
    return turns[-1] if turns and turns[-1] in {"finished", "stopped"} else "interrupted"


def _next(run: Run, state: str, recipe: Recipe) -> str:
    if state == "finished":
        return f"adapter in {run.adapter}"
    if state == "running":
        return "wait for it"
    command = ["lexitrain", "train", "--run", str(run.path)]
    if not _has_data(run, recipe):
        command += ["--data", "DIR"]
    mirror = recipe.checkpoints.mirror_folder
    if mirror is not None and not has_place(mirror) and not lies_in_mirror(run):
        command += ["--mirror", "DIR"]
    # Tasks that are code are executed only where the command says so; it is not suggested unsaid.
    custom = task_sources(recipe.data.custom_tasks, [run])
    note = f"   # add --trust-tasks if you trust the code of {', '.join(custom)}" if custom else ""
    return shlex.join(command) + note


def _has_data(run: Run, recipe: Recipe) -> bool:
    """Whether the data that the run was started with may be there: their folder is, or a mirror that keeps a copy, or
    the run lies in such a mirror itself."""
    mirror = recipe.checkpoints.mirror_folder
    if mirror is not None and mirror.is_dir():
        return True
    if not run.data_file.is_file():
        return False
    return Path(run.read_data().folder).is_dir() or lies_in_mirror(run)
