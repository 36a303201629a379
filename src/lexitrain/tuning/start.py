"""`tune`: find better settings, or draw what a setting does, by training runs within a budget.

The checks that need no training come first. Then the study is opened, its workers run, and what they found is written.
All of it can be interrupted at any moment: what is finished is in the study's database, what is half done in its run
folder, and the same call goes on.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import DataError, InputError, RunChanged, RunError, RunInUse
from lexitrain.recipe import Recipe, load_recipe, recipe_to_yaml
from lexitrain.records import TRAIN, VALIDATION, iterate_split, split_file
from lexitrain.samples import file_facts, require_known_tasks
from lexitrain.storage import Lock, disk_errors, make_folder, user_path, write_json
from lexitrain.tasks import registry
from lexitrain.tuning.best import FILE as BEST
from lexitrain.tuning.best import write_best
from lexitrain.tuning.budget import Budget, fitting_race
from lexitrain.tuning.designs.race import LEAST_CANDIDATES, Race
from lexitrain.tuning.price import Price, Pricing, priced_or_why
from lexitrain.tuning.result import (
    TuningResult,
    best_of,
    diminishing_from,
    incomparable,
    sorted_outcomes,
    sweep_points,
    why,
)
from lexitrain.tuning.study.address import address_of, require_optuna
from lexitrain.tuning.study.identity import Identity
from lexitrain.tuning.workers.job import TRIALS, Job
from lexitrain.tuning.workers.processes import Workers
from lexitrain.tuning.workers.worker import Ending, SilentTuning, TuningObserver, work

if TYPE_CHECKING:
    from lexitrain.tuning.designs.unit import Design

STUDY, RESULT = "study.json", "result.json"
_IDENTITY, _ID = "identity", "folder"
_HEARTBEAT = 5
_MANY = 10**6


def tune(
    recipe: str | Path,
    data_dir: str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    sweep: Sequence[str] = (),
    seeds: int | None = None,
    trials: int | None = None,
    hours: float | None = None,
    money: float | None = None,
    price: float | None = None,
    storage: str | None = None,
    study: str | None = None,
    workers: int = 1,
    heartbeat: int = _HEARTBEAT,
    dry_run: bool = False,
    observer: TuningObserver | None = None,
) -> TuningResult:
    """Search for a better recipe, or draw what settings do; going on where the study exists.

    Without `sweep` it is a race over learning rate, adapter scale (`lora.alpha`) and samples a step, which starts from
    the recipe. What is found is written to `out`: result.json, and best.yaml, a recipe that extends the given one.

    Args:
        recipe: name of a shipped recipe, or the path of a YAML file.
        data_dir: folder that `prepare` wrote; its validation records decide.
        out: folder of the study, made where missing; trials are runs in `trials/`.
        overrides: `section.field=value`, applied to the recipe first.
        sweep: `field=value,value,…`: a grid over these fields instead of the race.
        seeds: runs of each combination of a sweep; 1 where not given.
        trials: most trials.
        hours: of machines; no trial begins after them.
        money: dollars, at `price` an hour.
        price: dollars an hour of a machine; None: what the catalogue says of its GPU.
        storage: URL of the database; None: a SQLite file in `out`.
        study: its name there; None: the name of the folder `out`.
        workers: processes on this machine, which share its cores or its GPUs.
        heartbeat: seconds between two signs of life of a worker; one that gives none for six of them is dead.
        dry_run: price the study and write nothing.
        observer: is told what happens.

    Raises:
        InputError: wrong recipe, field, value, data, budget or database; or the folder holds another study.
        RunChanged: the study is about another recipe, other data or another space.
        MissingExtra: optuna or the database's driver is not installed.
        Stopped: by a signal, a full disk or a database that went away; the same call goes on.
    """
    require_optuna()
    told = SilentTuning() if observer is None else observer
    _require_counts(seeds, workers, heartbeat, sweeping=bool(sweep))
    base = load_recipe(str(recipe), overrides)
    data, folder = user_path(data_dir), user_path(out).absolute()
    if folder.exists() and not folder.is_dir():
        raise RunError("This is a file, not a folder.", where=folder)
    facts, records = _data(base, data)
    address = address_of(storage, folder)
    budget = Budget(trials, hours, money, price)
    job = Job(
        recipe=recipe_to_yaml(base),
        data=str(data.absolute()),
        records=records,
        folder=str(folder),
        url=address.url,
        shown=address.shown,
        study=study or folder.name,
        sweep=tuple(sweep),
        seeds=seeds or 1,
        entrants=_MANY,
        trials=trials,
        hours=None,
        workers=workers,
        heartbeat=heartbeat,
    )
    job, foreseen, problem = _sized(job, budget, Pricing(base, data, price))
    planned = TuningResult(
        state="planned",
        out=folder,
        kind="sweep" if sweep else "race",
        recipe=base.name,
        price=foreseen,
        not_foreseen=problem,
        budget=budget.words(),
        scale=getattr(job.design, "scale", None),
        _axes=tuple(job.design.axes),
    )
    told.priced(planned)
    if dry_run:
        return planned
    _open(job, Identity(base, facts, job.design.space))
    ending = "budget" if _is_spent(job) else _run(job, told)
    found = _found(job, replace(planned, state=ending))
    with disk_errors(folder):
        if found.best is not None:
            path = folder / BEST
            write_best(path, str(recipe), overrides, found.best.changes, why(found, job.design))
            found = replace(found, best_recipe=path)
        write_json(folder / RESULT, found.to_json())
    return found


def _require_counts(seeds: int | None, workers: int, heartbeat: int, *, sweeping: bool) -> None:
    if seeds is not None and not sweeping:
        raise InputError(
            "Several seeds belong to a sweep; a race compares candidates of one seed.",
            where="--seeds",
            fix="Add --sweep FIELD=VALUE,VALUE, or leave --seeds out.",
        )
    for name, value in (("--seeds", seeds), ("--workers", workers), ("heartbeat", heartbeat)):
        if value is not None and value < 1:
            raise InputError(f"{value} is too few: at least 1.", where=name)


def _data(recipe: Recipe, data: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Hashes of the data's files, and training records by task. Refuses data without validation records."""
    facts = {name: str(each["sha256"]) for name, each in file_facts(data).items()}
    require_known_tasks(recipe, registry(recipe.data.custom_tasks))
    wanted = recipe.data.tasks

    def counts(split: str) -> Counter[str]:
        path = split_file(data, split)
        rows = iterate_split(path) if path.is_file() else ()
        return Counter(each.task for each in rows if not wanted or each.task in wanted)

    train, validation = counts(TRAIN), counts(VALIDATION)
    if not train:
        raise DataError("There is no sample to train on.", where=split_file(data, TRAIN))
    lacking = train.keys() - validation.keys() if recipe.data.adapters == "per_task" else ()
    if not validation or lacking:
        raise DataError(
            "There are no validation records"
            + (f" of {', '.join(sorted(lacking))}" if validation else "")
            + ", and their loss is what decides.",
            where=split_file(data, VALIDATION),
            fix="Prepare data with a validation split: lexitrain data prepare FILES --out DIR",
        )
    weights = recipe.data.task_weights
    return facts, {task: train[task] for task in sorted(train) if weights.get(task, 1.0) > 0}


def _sized(job: Job, budget: Budget, pricing: Pricing) -> tuple[Job, Price | None, str]:
    """The job with as many candidates and hours as the budget pays for, and its price."""
    design: Design = job.design
    price, problem = priced_or_why(pricing, design)
    if isinstance(design, Race):
        design = fitting_race(design, budget, pricing, price)
        job = replace(job, entrants=max(design.entrants, LEAST_CANDIDATES))
        price = None if price is None else pricing.price(design)
    hours = budget.most_hours(budget.price if price is None else price.dollars_an_hour)
    most = max(1, sum(stage.count for stage in design.stages))
    return replace(job, hours=hours, workers=min(job.workers, most)), price, problem


def _open(job: Job, identity: Identity) -> None:
    """Make the study, or make sure that it is this one.

    Raises:
        RunError: the folder holds something else.
        RunChanged: the study is about something else, or of another folder.
        InputError: its database cannot be used.
    """
    folder = Path(job.folder)
    with disk_errors(folder):
        if folder.is_dir() and not (folder / STUDY).is_file() and _holds_something(folder):
            raise RunError(
                "This folder holds something else than a study.",
                where=folder,
                fix="Give another --out folder; one that does not exist yet is made.",
            )
        make_folder(folder)
        with _locked(folder):
            own = _own_file(folder, job.study)
            study = job.open_study()
            try:
                with study.address.errors(begun=False):
                    _require_own(job, identity, study, own["id"])
            finally:
                study.close()


def _run(job: Job, observer: TuningObserver) -> Ending:
    return work(job, observer) if job.workers == 1 else Workers(job, observer).run()


def _is_spent(job: Job) -> bool:
    """Whether the study has more trials than it may have now, and so begins no other.

    A race that goes on with a larger budget may have a few from the smaller one that are none of its own; these are not
    held against it.
    """
    study = job.open_study()
    try:
        with study.address.errors(begun=True):
            outcomes = study.progress().outcomes
    finally:
        study.close()
    most = job.trials
    return most is not None and len(outcomes) >= most and bool(job.design.due(outcomes))


def _require_own(job: Job, identity: Identity, study: Any, own: str) -> None:
    facts, where = study.facts, f"study '{job.study}' in {job.shown}"
    if _IDENTITY in facts:
        if facts.get(_ID) != own:
            raise RunChanged(
                "The runs of this study are in another folder.",
                where=where,
                fix="Give that folder as --out, or another name: --study NAME",
            )
        identity.require_same(facts[_IDENTITY], where)
        return
    if facts or study.has_trials():
        raise InputError(
            "A study of this name exists that lexitrain did not make.",
            where=where,
            fix="Give another name: --study NAME",
        )
    if (Path(job.folder) / TRIALS).is_dir():
        raise RunChanged(
            "The study of this folder is not in this database.",
            where=where,
            fix="Give the --storage that it was begun with, or another --out.",
        )
    study.write_fact(_ID, own)
    study.write_fact(_IDENTITY, identity.to_json())


def _own_file(folder: Path, name: str) -> dict[str, str]:
    """study.json: which study the folder belongs to; written where it is not there."""
    path = folder / STUDY
    if path.is_file():
        try:
            kept = json.loads(path.read_bytes())
            kept = {"study": str(kept["study"]), "id": str(kept["id"])}
        except (ValueError, KeyError, TypeError):
            raise RunError("This is not what lexitrain writes there.", where=path) from None
        if kept["study"] != name:
            raise RunChanged(
                f"This folder is that of the study '{kept['study']}', not of '{name}'.",
                where=folder,
                fix=f"Give --study {kept['study']}, or another --out.",
            )
        return kept
    made = {"study": name, "id": uuid.uuid4().hex}
    write_json(path, made)
    return made


def _holds_something(folder: Path) -> bool:
    return any(not each.name.startswith(".") for each in folder.iterdir())


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """The folder's lock, waited for: other machines may begin the same study at this moment."""
    while True:
        try:
            lock = Lock(folder).__enter__()
            break
        except RunInUse:
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.__exit__()


def _found(job: Job, planned: TuningResult) -> TuningResult:
    """What the study holds now."""
    study = job.open_study()
    try:
        with study.address.errors(begun=True):
            outcomes = sorted_outcomes(list(study.progress().outcomes.values()))
    finally:
        study.close()
    design = job.design
    points = sweep_points(design, outcomes)
    unlike = incomparable(design, outcomes)
    return replace(
        planned,
        incomparable=unlike,
        hours=sum(each.hours for each in outcomes),
        outcomes=outcomes,
        best=None if unlike else best_of(design, outcomes, Path(job.folder)),
        points=points,
        diminishing=None if unlike else diminishing_from(design, points),
    )
