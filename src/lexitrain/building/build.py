"""`build`: prepare, plan, train, evaluate, export, one after the other, in one folder.

Each stage calls the function of the command of the same name. A stage whose inputs have not changed is not done again;
one that was interrupted goes on by its own means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lexitrain.building.beforehand import code_of, files_of, one_build, require_possible
from lexitrain.building.choices import Choices
from lexitrain.building.observer import BuildObserver, Unwatched
from lexitrain.building.recipe_choice import chosen
from lexitrain.building.stage_journal import StageJournal, key_of
from lexitrain.errors import DataError, InputError, MissingExtra, RunChanged, Stopped
from lexitrain.recipe import Recipe, load_recipe
from lexitrain.records import REPORT, SPLITS, split_file
from lexitrain.runs import Run
from lexitrain.storage import disk_errors, write_file
from lexitrain.watching import places_of, tell_trackers

if TYPE_CHECKING:
    from lexitrain.comparison import ModelComparison
    from lexitrain.evaluation import EvaluationReport
    from lexitrain.exporting import ExportReport
    from lexitrain.training import TrainingResult

STAGES = ("prepare", "plan", "preflight", "train", "evaluate", "export", "report")
BASE_RECORDS = 300
"""Records that the untrained base is scored on at most: it answers at length, and is not what is shipped."""
PAGE = "report.html"
BEFORE = "before"
"""Name of the base's evaluation in the run's folder."""


@dataclass(slots=True)
class BuildResult:
    """What a build made.

    Attributes:
        folder: that holds it.
        made: stage -> what it made, as its journal keeps it.
        seconds: stage -> that it took, when it was done.
        skipped: stages that were done before.
        training, comparison, exported: of stages that were done now; None of those that were skipped.
    """

    folder: Path
    made: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    skipped: list[str] = field(default_factory=list[str])
    training: TrainingResult | None = None
    comparison: ModelComparison | None = None
    exported: ExportReport | None = None

    @property
    def missed(self) -> list[str]:
        """Why what was exported is not what was asked for."""
        return [str(each) for each in self.made.get("export", {}).get("missed", ())]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "folder": str(self.folder),
            "stages": {
                stage: {
                    "skipped": stage in self.skipped,
                    "seconds": self.seconds.get(stage),
                    "made": dict(made),
                }
                for stage, made in self.made.items()
            },
            "missed": self.missed,
        }


def build(choices: Choices, observer: BuildObserver | None = None) -> BuildResult:
    """Go from records to an exported model, or go on where an earlier call was stopped.

    Args:
        choices: what is built.
        observer: is told what happens.

    Raises:
        InputError: as of each stage's own function.
        LimitNotMet: no recipe keeps within the hours and the memory.
        RunInUse: another build is at work in the folder.
        Stopped: training was stopped and saved; the same call goes on.
    """
    own = require_possible(choices)
    with one_build(choices):
        return _Build(choices, own, observer or Unwatched()).run()


def prepared_from(choices: Choices, own: Recipe) -> list[object]:
    """What decides how the records are prepared."""
    return [files_of(choices.records), code_of(own.data.custom_tasks), own.seed]


class _Build:
    def __init__(self, choices: Choices, own: Recipe, observer: BuildObserver) -> None:
        self._choices = choices
        self._own = own
        self._observer = observer
        self._journal = StageJournal(choices.folder)
        self._result = BuildResult(choices.folder)
        self._key = ""
        self._report: EvaluationReport | None = None
        self._tasks = own.data.custom_tasks

    def run(self) -> BuildResult:
        choices, own = self._choices, self._own
        self._stage(
            "prepare",
            prepared_from(choices, own),
            lambda: self._prepare(own),
            lambda: [
                choices.data / REPORT,
                *(split_file(choices.data, split) for split in SPLITS),
            ],
            final=True,
        )
        self._stage(
            "plan",
            [own.model_dump(mode="json"), choices.hours, choices.memory_gb, choices.gpu],
            lambda: self._plan(own),
            lambda: [choices.chosen_recipe],
            final=True,
        )
        self._stage("preflight", [], self._preflight)
        self._stage("train", [], self._train, lambda: [choices.run / "adapter"])
        self._catch_up()
        self._stage(
            "evaluate",
            [choices.limit, choices.margin],
            self._evaluate,
            lambda: [
                each
                for folder in (choices.folder / "comparison", choices.run / "evaluation")
                for each in sorted(folder.iterdir())
            ],
        )
        self._stage(
            "export",
            [choices.to, choices.quantize, choices.max_mb, choices.margin],
            self._export,
            self._exported_files,
        )
        self._stage("report", [], self._write_report, self._page)
        return self._result

    def _stage(
        self,
        name: str,
        decides: Sequence[object],
        work: Callable[[], Mapping[str, Any]],
        files: Callable[[], Sequence[Path]] = list,
        *,
        final: bool = False,
    ) -> None:
        """Do a stage, unless it is done.

        Args:
            decides: what its results depend on, besides the stage before it.
            files: that it has made, without which it is not done.
            final: what a user has changed in them is not written over.
        """
        self._key = key_of(self._key, name, *decides)
        place = (name, STAGES.index(name) + 1, len(STAGES))
        made = self._journal.done(name, self._key)
        if made is not None and self._is_whole(name, final):
            self._observer.skipped(*place)
            self._result.skipped.append(name)
            self._result.seconds[name] = self._journal.seconds(name)
        else:
            self._observer.begins(*place)
            start = perf_counter()
            made = work()
            self._result.seconds[name] = round(perf_counter() - start, 1)
            with disk_errors(self._choices.folder):
                self._journal.keep(name, self._key, made, self._result.seconds[name], files())
        self._result.made[name] = made

    def _is_whole(self, name: str, final: bool) -> bool:
        missing, changed = self._journal.lacks(name)
        if changed and final:
            raise InputError(
                "This is not as the build has written it.",
                where=changed[0],
                fix="Delete it, and the same command writes it again. To build from what stands there now, copy it to "
                "a place outside of the folder and give that as RECORDS or --recipe.",
            )
        return not missing and not changed

    def _catch_up(self) -> None:
        """Bring mirror and trackers up to date with a training that was done before: `train` does it."""
        kept = Run(self._choices.run)
        if "train" not in self._result.skipped:
            return
        before = kept.read_recipe()
        named = (self._choices.mirror, self._choices.trackers) != (None, None)
        if not named and before.checkpoints.mirror_folder is None and not places_of(before):
            return
        try:
            self._trained(load_recipe(str(self._choices.chosen_recipe)), fresh=False)
        except InputError as error:  # all is built, whatever has become of a drive
            self._observer.says(f"Mirror and trackers are as they were. {error}")

    def _exported_files(self) -> list[Path]:
        folder = self._choices.run / "export"
        report = self._result.exported
        names = [] if report is None else [each.path for each in report.files if each.path.exists()]
        return [*names, folder / "export.json", folder / "grammars"]

    def _page(self) -> list[Path]:
        page = self._choices.run / PAGE
        return [page] if page.is_file() else []

    def _prepare(self, own: Recipe) -> Mapping[str, Any]:
        from lexitrain.preparation import prepare

        report = prepare(
            list(self._choices.records),
            self._choices.data,
            custom_tasks=self._tasks,
            seed=own.seed,
            progress=self._observer.progress,
        )
        if not report["splits"]["test"]["records"]:
            raise DataError(
                "No record is held out, so that nothing could be shown of what is trained.",
                where=self._choices.data,
                fix="Bring more records that are not alike: one in ten is held out, and those of one source or learner "
                "stay on one side.",
            )
        return {"splits": report["splits"]}

    def _plan(self, own: Recipe) -> Mapping[str, Any]:
        from lexitrain.recipe import recipe_to_yaml

        recipe, plan, why = chosen(self._choices, own, self._choices.data)
        self._observer.says(why)
        self._choices.folder.mkdir(parents=True, exist_ok=True)
        write_file(self._choices.chosen_recipe, recipe_to_yaml(recipe).encode())
        return {
            "recipe": recipe.name,
            "why": why,
            "hours": plan.hours.to_json(),
            "memory_gb": plan.memory.device_total / 1e9,
            "fits": plan.fits,
        }

    def _preflight(self) -> Mapping[str, Any]:
        from lexitrain.diagnosis import preflight

        found = preflight(
            load_recipe(str(self._choices.chosen_recipe)),
            self._choices.data,
            self._choices.run,
            mirror=self._choices.mirror,
            observer=self._observer.training(),
        )
        for check in found.checks:
            if check.verdict != "ok":
                self._observer.says(f"{check.name}: {check.found} {check.fix}".strip())
        for check in found.refused:
            raise InputError(check.found, where=self._choices.run, fix=check.fix)
        return {"warned": [check.name for check in found.checks if check.verdict != "ok"]}

    def _train(self) -> Mapping[str, Any]:
        recipe = load_recipe(str(self._choices.chosen_recipe))
        try:
            result = self._trained(recipe, fresh=False)
        except RunChanged as change:
            self._observer.says(
                f"The run of before is moved aside, as what it was trained by has changed: {change.what}"
            )
            result = self._trained(recipe, fresh=True)
        if result.state == "stopped":
            raise Stopped(
                f"Stopped by {result.reason}, saved at step {result.step} of {result.total_steps}.",
                where=self._choices.run,
                fix="To go on: give the same command again.",
            )
        self._result.training = result
        return {
            "steps": result.total_steps,
            "first_loss": result.first_loss,
            "best_loss": result.best_loss,
            "seconds_in_steps": round(result.seconds, 1),
            "mirror": None if self._choices.mirror is None else str(self._choices.mirror),
        }

    def _trained(self, recipe: Recipe, *, fresh: bool) -> TrainingResult:
        from lexitrain.training import train

        return train(
            recipe,
            self._choices.data,
            self._choices.run,
            stop_after=self._choices.stop_after,
            mirror=self._choices.mirror,
            trackers=self._choices.trackers,
            fresh=fresh,
            observer=self._observer.training(),
        )

    def _evaluated(self, model: str | Path, limit: int | None, name: str) -> EvaluationReport:
        """Answers stay in a journal, from which another stage, or a call after a kill, takes them again."""
        from lexitrain.evaluation import evaluate

        return evaluate(
            model,
            self._choices.data,
            limit=limit,
            out=self._choices.folder / "answers" / name,
            resumable=True,
            custom_tasks=self._tasks,
            progress=lambda what, done, total: self._observer.progress(
                f"{name}: {what}", done, total
            ),
        )

    def _evaluate(self) -> Mapping[str, Any]:
        from lexitrain.comparison import compared
        from lexitrain.reporting import write_comparison_page

        choices = self._choices
        base = load_recipe(str(choices.chosen_recipe)).model.base
        most = BASE_RECORDS if choices.limit is None else min(choices.limit, BASE_RECORDS)
        before = self._evaluated(base, most, "base")
        self._report = self._evaluated(choices.run, choices.limit, "run")
        comparison = compared([before, self._report], choices.margin)
        folder = choices.folder / "comparison"
        comparison.save(folder)
        write_comparison_page(comparison, folder / "comparison.html")
        before.save(choices.run, name=BEFORE, keep_answers=True)
        self._report.save(choices.run, keep_answers=True)
        for said in tell_trackers(Run(choices.run)):
            if "problem" in said:
                self._observer.says(
                    f"The tracker {said['tracker']} has no scores: {said['problem']}"
                )
        self._result.comparison = comparison
        return {
            "records": self._report.evaluation.n,
            "validity": self._report.evaluation.validity,
            "verdicts": {
                name: task.verdict for name, task in self._report.evaluation.tasks.items()
            },
            "against_the_base": comparison.verdict(1),
        }

    def _write_report(self) -> Mapping[str, Any]:
        from lexitrain.reporting import write_run_page

        try:
            return {"page": write_run_page(self._choices.run).name}
        except MissingExtra as missing:  # all that matters is there without it
            self._observer.says(f"No report is written. {missing}")
            return {"page": None}

    def _export(self) -> Mapping[str, Any]:
        from lexitrain.exporting import export

        choices = self._choices
        if self._report is None:
            self._report = self._evaluated(choices.run, choices.limit, "run")
        report = export(
            choices.run,
            choices.to,
            quantize=choices.quantize,
            verify=choices.data,
            limit=choices.limit,
            margin=choices.margin,
            max_mb=choices.max_mb,
            reference=self._report,
            custom_tasks=self._tasks,
            progress=self._observer.progress,
        )
        self._result.exported = report
        return {
            "files": [each.path.name for each in report.files if each.path.exists()],
            "missed": report.missed,
        }
