"""The run folder: one typed path and one typed read and write for each file in it.

A run must survive a kill, a power cut and a full disk at any moment: every write goes through `storage`, where a file
is replaced at once and a journal (metrics, events) gains whole lines only. Reading imports nothing heavy, so that
`lexitrain runs` is quick. The names of the folders below `checkpoints/` are those of `checkpoint_names.py`.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lexitrain.errors import RunError
from lexitrain.recipe import Recipe, recipe_from_yaml, recipe_to_yaml
from lexitrain.runs.checkpoint_names import (
    MANIFEST,
    checkpoint_folders,
    checkpoint_name,
    step_of,
)
from lexitrain.runs.journals import (
    Event,
    Metrics,
    append_event,
    append_metrics,
    cut_metrics,
    event_now,
    read_events,
    read_metrics,
)
from lexitrain.storage import Lock, is_held, make_folder, user_path, write_file, write_json

BUILD_JOURNAL = "build.json"
"""What `build` writes to its own folder, before anything else."""

_RARE = ("unfit", "day")


@dataclass(frozen=True, slots=True)
class DataSummary:
    """data.json: what the run is trained on.

    Attributes:
        folder: the data folder, absolute.
        files: name -> {"sha256", "bytes"}.
        samples: split -> task -> samples used.
        skipped: split -> records that could not be rendered within max_length.
        truncated: split -> samples whose learner's text was shortened.
        token_lengths: split -> {"mean", "p50", "p90", "p99", "max"} of the samples, in tokens.
        rendered_sha256: of all token ids of the training and validation samples; it changes when the tokenizer, the
            chat template or a task's code changes what the model sees.
        unfit: reason -> records of all splits that could not be rendered; empty in what older versions wrote.
        day: the day that a dated chat template writes, as YYYY-MM-DD; empty where it writes none.
    """

    folder: str
    files: dict[str, dict[str, Any]]
    samples: dict[str, dict[str, int]]
    skipped: dict[str, int]
    truncated: dict[str, int]
    token_lengths: dict[str, dict[str, float]]
    rendered_sha256: str
    unfit: dict[str, int] = field(default_factory=dict[str, int])
    day: str = ""


class Run:
    """A run folder. Making the object touches nothing; the first write makes the folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path)
        # `.` and `..` have no name of their own, and a mirror needs one.
        if self.path.name in {"", ".."}:
            self.path = self.path.resolve()
        self.recipe_file = self.path / "recipe.yaml"
        self.environment_file = self.path / "environment.json"
        self.data_file = self.path / "data.json"
        self.plan_file = self.path / "plan.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.events_file = self.path / "events.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.adapter = self.path / "adapter"
        self.tasks = self.path / "tasks"
        self.cache = self.path / "cache"
        self.evaluation = self.path / "evaluation"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def exists(self) -> bool:
        """True when the folder holds a run: its recipe is the first file that is written.

        The folder of a `build` holds a recipe too, and its run is in a folder of its own in it.
        """
        return self.recipe_file.is_file() and not (self.path / BUILD_JOURNAL).is_file()

    def is_empty(self) -> bool:
        """True when the folder is missing or holds nothing but hidden leftovers of an interrupted start."""
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(p.name.startswith(".") for p in self.path.iterdir())

    # One read and one write for each file.

    def read_recipe(self) -> Recipe:
        """Raises RunError when the folder holds no run, RecipeError when its recipe cannot be used."""
        return recipe_from_yaml(self._read(self.recipe_file), str(self.recipe_file))

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the resolved recipe, every field of it."""
        write_file(self.recipe_file, recipe_to_yaml(recipe).encode())

    def read_environment(self) -> dict[str, Any]:
        """Versions, device, cores, seed and commit that the run was started with."""
        content = self._read_object(self.environment_file)
        if not isinstance(content.get("versions", {}), dict):
            raise RunError("This does not describe an environment.", where=self.environment_file)
        return content

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write environment.json."""
        write_json(self.environment_file, environment)

    def read_data(self) -> DataSummary:
        """Raises RunError when data.json is missing or not one that this version writes."""
        content = self._read_object(self.data_file)
        problem = ", ".join(sorted(content.keys() - {each.name for each in fields(DataSummary)}))
        if not problem:
            try:
                summary = TypeAdapter(DataSummary).validate_python(content)
                if summary.day:
                    date.fromisoformat(summary.day)
                return summary
            except ValidationError as error:
                problem = ".".join(map(str, error.errors()[0]["loc"]))
            except ValueError:
                problem = "day"
        raise RunError(
            f"This is not a data summary: {problem} is not as this version writes it.",
            where=self.data_file,
        )

    def write_data(self, data: DataSummary) -> None:
        """Write data.json."""
        content = asdict(data)
        # What is rarely there is not written then, so that older versions can read the others.
        write_json(self.data_file, {k: v for k, v in content.items() if v or k not in _RARE})

    def read_plan(self) -> dict[str, Any]:
        """What was predicted for this run."""
        return self._read_object(self.plan_file)

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Write plan.json."""
        write_json(self.plan_file, plan)

    def read_evaluation(self, name: str) -> dict[str, Any]:
        """The evaluation saved as `evaluation/<name>.json`."""
        return self._read_object(self.evaluation / f"{name}.json")

    def write_evaluation(self, name: str, evaluation: Mapping[str, Any]) -> Path:
        """Save an evaluation as `evaluation/<name>.json` and return its path."""
        path = self.evaluation / f"{name}.json"
        write_json(path, evaluation)
        return path

    # The two journals.

    def metrics(self) -> list[Metrics]:
        """All logged lines, oldest first; a torn last line is left out. Raises RunError for another broken one."""
        return read_metrics(self.metrics_file)

    def append_metrics(self, metrics: Metrics) -> None:
        """Append one line, durably."""
        append_metrics(self.metrics_file, metrics)

    def cut_metrics(self, after_step: int) -> None:
        """Drop the lines of steps after `after_step`, which a resumed run does again."""
        cut_metrics(self.metrics_file, after_step)

    def events(self) -> list[Event]:
        """All events, oldest first; a torn last line is left out. Raises RunError for another broken one."""
        return read_events(self.events_file)

    def append_event(self, event: str, step: int, **details: Any) -> Event:
        """Append one event with the present time, durably, and return it."""
        happened = event_now(event, step, details)
        append_event(self.events_file, happened)
        return happened

    # The folder as a whole.

    def checkpoint_steps(self) -> list[int]:
        """Steps of the checkpoints that have a manifest, ascending. Nothing is verified here."""
        return [
            step_of(each)
            for each in reversed(checkpoint_folders(self.checkpoints))
            if (each / MANIFEST).is_file()
        ]

    def checkpoint(self, step: int) -> Path:
        """Folder of the checkpoint after `step` optimizer steps."""
        return self.checkpoints / checkpoint_name(step)

    def move_aside(self) -> Path:
        """Rename the folder to the first free `<name>.old-1`, `.old-2`, ...; nothing is deleted."""
        path, number = self.path.resolve(), 1  # `.` has no name of its own
        while (target := path.with_name(f"{path.name}.old-{number}")).exists():
            number += 1
        path.rename(target)
        return target

    @contextmanager
    def lock(self) -> Generator[None]:
        """Hold the run while it trains. Raises RunInUse when another process holds it.

        A dead process holds nothing, see `storage/lock.py`. A folder to which nothing was written meanwhile is removed
        again.
        """
        made = not self.path.exists()
        make_folder(self.path)
        with Lock(self.path) as lock:
            try:
                yield
            finally:
                if not self.exists():  # nothing is to be left in the folder of something else
                    lock.path.unlink(missing_ok=True)
                    if made and not any(self.path.iterdir()):
                        self.path.rmdir()

    def is_locked(self) -> bool:
        """True while some process trains this run."""
        return is_held(self.path)

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RunError(
                f"There is no {path.name}: this is not the folder of a run.", where=self.path
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"The file cannot be read: {error}.", where=path) from error

    def _read_object(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(self._read(path))
        except (ValueError, RecursionError) as error:
            raise RunError(f"This is not valid JSON: {error}.", where=path) from error
        if not isinstance(content, dict):
            raise RunError("A JSON object was expected.", where=path)
        return content  # pyright: ignore[reportUnknownVariableType]
