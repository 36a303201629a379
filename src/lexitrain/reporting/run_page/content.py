"""What a run folder holds, as far as it can be read: nothing in it can keep a page from being made.

A file that is missing is missing; one that is damaged, of something else or not to be read is told with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lexitrain.errors import InputError, RunError
from lexitrain.reporting.run_page.plain_values import mapping, number, text, whole
from lexitrain.runs import Run, RunSummary, summarize, training_seconds, validation_losses
from lexitrain.tasks import loads_strict

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Event, Metrics

Found = TypeVar("Found")

_MOST_BYTES = 64_000_000
"""Of one file of JSON that is read; what is written by this package is a thousandth of it."""
_MOST_EVALUATIONS = 40
_MOST_PARTS = 40
EXPORT = Path("export") / "export.json"


@dataclass(frozen=True, slots=True)
class SavedEvaluation:
    """An evaluation in the run's folder.

    Attributes:
        name: of its files.
        content: of `evaluation/<name>.json`.
        answers: the file of its answers; None where there is none.
    """

    name: str
    content: dict[str, Any]
    answers: Path | None

    @property
    def of_the_base(self) -> bool:
        """Whether the base was asked, and not what was trained."""
        return self.content.get("model") == self.content.get("base")


@dataclass(frozen=True)
class RunContent:
    """What a run folder holds.

    Attributes:
        run: the folder.
        name: on the page.
        summary: its state.
        recipe: None where there is none that can be read.
        recipe_text: the file as it stands.
        environment, data, plan, export: content of the JSON files; empty where there is none.
        metrics, events: the journals.
        evaluations: those of the run first, of a test split before others.
        parts: of a folder with one run a task, these.
        problems: (file, why it cannot be read).
    """

    run: Run
    name: str
    summary: RunSummary
    recipe: Recipe | None = None
    recipe_text: str = ""
    environment: dict[str, Any] = field(default_factory=dict[str, Any])
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    export: dict[str, Any] = field(default_factory=dict[str, Any])
    metrics: Sequence[Metrics] = ()
    events: Sequence[Event] = ()
    evaluations: Sequence[SavedEvaluation] = ()
    parts: Sequence[RunContent] = ()
    problems: Sequence[tuple[str, str]] = ()

    @property
    def trained_parts(self) -> Sequence[RunContent]:
        """The runs whose losses are shown: its parts, or itself."""
        return self.parts or (self,)

    @property
    def finished(self) -> dict[str, Any]:
        """What the run said at its end; empty before."""
        ends = [each.details for each in self.events if each.event == "finished"]
        return ends[-1] if ends else {}

    @property
    def validations(self) -> list[tuple[int, float]]:
        """Validation losses that compare with each other, (step, loss) each."""
        return [
            (step, loss)
            for step, loss in validation_losses(self.metrics, self.events)
            if number(loss) is not None and number(step) is not None
        ]

    @property
    def first_loss(self) -> float | None:
        """Validation loss before training."""
        begun = [each.details for each in self.events if each.event == "started"]
        return number(begun[-1].get("validation_loss")) if begun else None

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the best validation."""
        return min(self.validations, key=lambda each: each[1], default=None)

    @property
    def steps(self) -> tuple[int, int | None]:
        """Steps done, and all of them where it is known."""
        return self.summary.step, whole(self.summary.total_steps)

    @property
    def wall_seconds(self) -> float | None:
        """From the first to the last thing of each session, validations and checkpoints included."""
        return training_seconds(self.events) or None

    @property
    def seconds(self) -> float | None:
        """In training steps, as the run said at its end; before that from the first to the last thing of each
        session."""
        own = number(self.finished.get("seconds"))
        return own if own is not None else self.wall_seconds

    @property
    def memory_gb(self) -> float | None:
        """The largest that was logged."""
        return max(filter(None, (number(each.memory_gb) for each in self.metrics)), default=None)


def read_content(path: str | Path) -> RunContent:
    """Read a run folder.

    Raises:
        RunError: there is no such folder, or nothing of a run in it.
    """
    run = Run(path)
    try:
        return _content(run)
    except OSError as error:
        raise RunError(f"The run cannot be read: {error.strerror}.", where=run.path) from error


def _content(run: Run) -> RunContent:
    if not run.path.is_dir():
        raise RunError("There is no such folder.", where=run.path, fix="Give the folder of a run.")
    content = _read(run, _title(run.path.resolve()))
    if _has_something(run):
        return content
    parts = _parts(run)
    of_parts = [
        replace(saved, name=f"{part.name}/{saved.name}")
        for part in parts
        for saved in part.evaluations
    ]
    return replace(content, parts=parts, evaluations=(*content.evaluations, *of_parts))


def _title(folder: Path) -> str:
    """The folder's name; with that of the folder around it where it is called as `build` calls all of its runs."""
    return f"{folder.parent.name}/{folder.name}" if folder.name == "run" else folder.name


def _parts(run: Run) -> tuple[RunContent, ...]:
    """The runs of a folder with one run a task: each is named by the task that it trains."""
    folders = _entries(run.path, lambda each: each.is_dir() and _has_something(Run(each)))
    found = [_read(Run(folder), folder.name) for folder in folders[:_MOST_PARTS]]
    named = [each for each in found if each.recipe and each.recipe.data.tasks == (each.name,)]
    if named:
        return tuple(each for each in found if each in named or each.recipe is None)
    if found:
        raise RunError(
            "This folder holds runs and is none itself.",
            where=run.path,
            fix=f"Give one of them, or several to put side by side: {', '.join(each.name for each in found[:5])}.",
        )
    raise RunError(
        "This is not the folder of a run: it holds neither a recipe nor metrics.",
        where=run.path,
        fix="`lexitrain runs DIR` lists the runs of a folder.",
    )


def _has_something(run: Run) -> bool:
    return any(each.is_file() for each in (run.recipe_file, run.metrics_file, run.events_file))


def _read(run: Run, name: str) -> RunContent:
    problems: list[tuple[str, str]] = []

    def tried(file: Path, read: Callable[[], Found], otherwise: Found) -> Found:
        try:
            if not file.exists():
                return otherwise
            if not file.is_file():
                raise RunError("This is not a file.", where=file)
            if file.stat().st_size > _MOST_BYTES and file.suffix == ".json":
                raise RunError("It is too large to be what this package writes.", where=file)
            return read()
        except (InputError, OSError) as error:
            problems.append((_below(file, run.path), _reason(error, file)))
            return otherwise

    evaluations: list[SavedEvaluation] = []
    for file in _entries(run.evaluation, lambda each: each.suffix == ".json")[:_MOST_EVALUATIONS]:
        saved = tried(file, lambda file=file: run.read_evaluation(file.stem), {})
        if mapping(saved.get("tasks")) or mapping(saved.get("conversations")):
            answers = file.with_suffix(".answers.jsonl")
            evaluations.append(
                SavedEvaluation(file.stem, saved, answers if answers.is_file() else None)
            )
        elif saved:
            problems.append((_below(file, run.path), "This is not an evaluation."))
    export_folder = Run(run.path / EXPORT.parent)
    return RunContent(
        run=run,
        name=name,
        summary=_summary(run),
        recipe=tried(run.recipe_file, run.read_recipe, None),
        recipe_text=tried(run.recipe_file, lambda: _raw(run.recipe_file), ""),
        environment=tried(run.environment_file, run.read_environment, {}),
        data=tried(run.data_file, lambda: _object(run.data_file), {}),
        plan=tried(run.plan_file, run.read_plan, {}),
        export=tried(run.path / EXPORT, lambda: _object(export_folder.path / EXPORT.name), {}),
        metrics=tried(run.metrics_file, run.metrics, []),
        events=tried(run.events_file, run.events, []),
        evaluations=sorted(evaluations, key=_order),
        problems=list(dict.fromkeys(problems)),
    )


def _summary(run: Run) -> RunSummary:
    try:
        return summarize(run.path)
    except OSError as error:
        return RunSummary(str(run.path), None, "broken", next=str(error))


def _object(file: Path) -> dict[str, Any]:
    try:
        content = loads_strict(_raw(file))
    except (ValueError, RecursionError) as error:
        raise RunError(f"This is not valid JSON: {error}.", where=file) from error
    if not isinstance(content, dict):
        raise RunError("A JSON object was expected.", where=file)
    return content


def _raw(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"The file cannot be read: {error}.", where=file) from error


def _entries(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """What lies in a folder, by name; nothing where it cannot be looked into."""
    try:
        return sorted(each for each in folder.iterdir() if wanted(each))
    except OSError:
        return []


def _order(saved: SavedEvaluation) -> tuple[bool, bool, float, str]:
    """Of the run before that of its base, of a test split before another file, of many records before few."""
    count = number(saved.content.get("n")) or 0.0
    return saved.of_the_base, not saved.name.startswith("test"), -count, saved.name


def _below(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder))


def _reason(error: Exception, file: Path) -> str:
    if isinstance(error, InputError):
        where = "" if error.where in {None, str(file), str(file.parent)} else f"{error.where}: "
        return text(f"{where}{error.what}")
    return text(error.strerror if isinstance(error, OSError) else error)
