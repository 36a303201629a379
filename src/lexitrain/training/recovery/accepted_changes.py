"""Changes to a run that its user accepts: other settings, other data, another base, from the newest checkpoint on.

Without `--accept-changes` a run refuses what changes the weights that come out. With it the run goes on, lists the
changes in an event `accepted`, and keeps the new recipe or data summary, so that the next call finds nothing changed.
The event is written first: a crash in between asks once more. What the saved state itself depends on cannot be
accepted. Step numbers stay what they are; a run that had finished goes on when it now has more steps. A best validation
loss that was measured on other data is forgotten (`TrainingState.learn_from`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import RunChanged, RunError
from lexitrain.models import base_identity, identity_before_it_was_written
from lexitrain.recipe import training_differences
from lexitrain.samples import file_facts

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.runs import DataSummary, Run
    from lexitrain.training.event_log import Observer

_SAVED_STATE_DEPENDS_ON = (
    *("lora.rank", "lora.init", "lora.targets", "lora.layers"),
    *("optimizer.name", "data.adapters"),
)


def recipe_changes(run: Run, recipe: Recipe, *, accept: bool) -> list[str]:
    """What differs from the run's recipe in a way that changes training.

    Raises:
        RunChanged: something does, and it is not accepted.
        RunError: something does that cannot change within a run.
    """
    before = run.read_recipe()
    differences = training_differences(before, recipe)
    told = any(each.startswith("model.base:") for each in differences)
    if before.model.base != recipe.model.base and not told and not _same_weights(run, recipe):
        differences.append(f"model.base: {before.model.base} -> {recipe.model.base}")
    held = [each for each in differences if each.partition(":")[0] in _SAVED_STATE_DEPENDS_ON]
    if held and accept:
        raise RunError(
            f"This cannot change within a run, whose saved state depends on it: {'; '.join(held)}.",
            where=run.path,
            fix="Give another --run folder, or --fresh to start anew.",
        )
    if differences and not accept:
        raise RunChanged(
            f"The run was started with another recipe: {'; '.join(differences)}.",
            where=run.path,
            fix=f"To go on as it was: `{shlex.join(['lexitrain', 'train', '--run', str(run.path)])}` alone, without "
            "--recipe, --set and --data, takes the run's own recipe and data. Else --accept-changes goes on with the "
            "change from the newest checkpoint, --fresh moves this run aside and starts anew, another --run leaves it.",
        )
    return differences


def _same_weights(run: Run, recipe: Recipe) -> bool:
    """Whether the base, which lies in another folder than before, is known to have the weights of the run's start."""
    if not run.environment_file.is_file():
        return False
    known = run.read_environment().get("base")
    return known is not None and known == base_identity(recipe.model.base, recipe.model.revision)


def keep_recipe(run: Run, recipe: Recipe, observer: Observer) -> None:
    """Make `recipe` that of the run, with an event when this changes training."""
    before = run.read_recipe()
    if before == recipe:
        return
    differences = training_differences(before, recipe)
    if differences:
        _write_accepted(run, observer, recipe=differences)
    run.write_recipe(recipe)


def other_files(run: Run, data_dir: Path, *, accept: bool) -> list[str]:
    """Which files of the data folder are not those that the run was started with.

    Raises:
        RunChanged: some are not, and it is not accepted.
    """
    differences = _file_differences(run.read_data().files, file_facts(data_dir))
    if differences and not accept:
        raise _other_data(differences, data_dir)
    return differences


def settle_data(
    run: Run,
    summary: DataSummary,
    data_dir: Path,
    observer: Observer,
    *,
    accept: bool,
    write: bool,
) -> None:
    """Refuse other data than the run was started with, or keep what they are from now on.

    Args:
        run: the run; one without data.json is new.
        summary: of the data that were given.
        data_dir: where they lie.
        observer: is told of accepted changes.
        accept: go on with other data.
        write: False in a process that leaves writing to another.

    Raises:
        RunChanged: they are others, and that is not accepted.
    """
    if not run.data_file.is_file():
        return
    differences = data_differences(run.read_data(), summary)
    if differences and not accept:
        raise _other_data(differences, data_dir)
    if differences and write:
        _write_accepted(run, observer, data=differences)
        run.write_data(summary)


def settle_base(run: Run, recipe: Recipe, observer: Observer, *, accept: bool, write: bool) -> None:
    """Refuse other weights under the base's name than the run was started with, or go on with them from now on.

    Args:
        run: the run; one without environment.json is new.
        recipe: names the base.
        observer: is told of an accepted change.
        accept: go on with other weights.
        write: False in a process that leaves writing to another.

    Raises:
        RunChanged: they are others, and that is not accepted.
    """
    if not run.environment_file.is_file():
        return
    environment = run.read_environment()
    name = recipe.model.base
    before = environment.get("base") or identity_before_it_was_written(name)
    now = base_identity(name, recipe.model.revision)
    if before is None or now is None or before == now:
        return
    if not accept:
        raise RunChanged(
            f"The run was started on other weights than those that {name} has now.",
            where=run.path,
            fix="Give the base as it was (a copy of its folder, or the Hub's commit as model.revision), another --run "
            "folder, --fresh to start anew, or --accept-changes to go on with these from the newest checkpoint.",
        )
    if write:
        _write_accepted(run, observer, base=[f"other weights of {name}"])
        run.write_environment({**environment, "base": now})


def data_differences(before: DataSummary, now: DataSummary) -> list[str]:
    """What differs in a way that changes training, as sentences. Where the folder lies does not matter."""
    differences = _file_differences(before.files, now.files)
    if not differences and before.rendered_sha256 != now.rendered_sha256:
        differences.append(
            "the same records give other tokens (tokenizer, chat template, or a task's code changed)"
        )
    return differences


def _file_differences(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Files that are not those of before, with what differs."""
    return [
        f"{name} {_difference(before.get(name), now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _difference(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    if before is None or now is None:
        return "was not there before" if before is None else "is gone"
    return f"changed ({before.get('bytes')} bytes before, {now.get('bytes')} now, other SHA-256)"


def _other_data(differences: list[str], data_dir: Path) -> RunChanged:
    return RunChanged(
        f"The run was started with other data: {'; '.join(differences)}.",
        where=data_dir,
        fix="To go on as it was, leave out --data: the run knows its own. Else --accept-changes goes on with these "
        "data from the newest checkpoint, --fresh starts anew, another --run leaves this one.",
    )


def _write_accepted(run: Run, observer: Observer, **changes: Sequence[str]) -> None:
    """Write down what was accepted, at the step it counts from, and tell it."""
    step = max(run.checkpoint_steps(), default=0)
    observer.event(run.append_event("accepted", step, **changes))
