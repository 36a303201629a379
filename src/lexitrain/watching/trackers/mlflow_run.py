"""MLflow: a run in a local SQLite store, or on the server that MLFLOW_TRACKING_URI names.

What the store has is asked of the store. Metrics cannot be taken back there, so a run that differs from what was told
goes on as a new one, and the old one is deleted (it can be restored). Parameters cannot change: a later value is a tag.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.watching.trackers.places import PROJECT

if TYPE_CHECKING:
    from lexitrain.runs import Run
    from lexitrain.watching.trackers.telling import Losses, Point, Told

_BATCH = 100
"""Parameters, and points of one metric, that a call takes; a server takes 100 and 1,000 metrics."""
_LONGEST_VALUE = 500
"""Characters that every server takes; the recipe is kept whole as an artifact."""
_RUN_TAG = "lexitrain_run"
_STATES = {"finished": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED"}


class MlflowRun:
    """One run of MLflow.

    Args:
        run: the run.
        key: by which its run is found again.
        folder: of the store; empty: where MLFLOW_TRACKING_URI says, else `mlflow` in the run's folder.
    """

    def __init__(self, run: Run, key: str, folder: str) -> None:
        from mlflow import MlflowClient

        self._name, self._key = run.path.resolve().name, key
        uri = "" if folder else os.environ.get("MLFLOW_TRACKING_URI", "")
        artifacts = None
        if not uri:
            store = Path(folder) if folder else run.path.resolve() / "mlflow"
            store.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{store / 'mlflow.db'}"
            artifacts = (store / "artifacts").as_uri()
        self.place = uri
        self._client: Any = MlflowClient(tracking_uri=uri)
        self._experiment = self._find_experiment(artifacts)
        self._id = self._find_run() or self._new_run()
        self._client.update_run(self._id, status="RUNNING")

    def told(self) -> dict[int, Losses]:
        """The history of three metrics: every line has an epoch."""
        found: list[dict[int, float]] = []
        for name in ("epoch", "loss", "validation_loss"):
            history: Sequence[Any] = self._client.get_metric_history(self._id, name)
            found.append({each.step: each.value for each in history})
        steps, losses, validation = found
        return {step: (losses.get(step), validation.get(step)) for step in steps}

    def start_again(self) -> None:
        """Delete the run, and begin another."""
        self._client.delete_run(self._id)
        self._id = self._new_run()

    def settings(self, values: Mapping[str, str], recipe: str) -> None:
        """Parameters; as a tag, what has another value than before."""
        from mlflow.entities import Param, RunTag

        given = {_name(name): _value(value) for name, value in values.items()}
        before: Mapping[str, str] = self._client.get_run(self._id).data.params
        new = [Param(name, value) for name, value in given.items() if name not in before]
        tags = [
            RunTag(f"changed.{name}"[:250], value)
            for name, value in given.items()
            if before.get(name, value) != value
        ]
        for first in range(0, len(new), _BATCH):
            self._client.log_batch(self._id, params=new[first : first + _BATCH])
        for first in range(0, len(tags), _BATCH):
            self._client.log_batch(self._id, tags=tags[first : first + _BATCH])
        self._client.log_text(self._id, recipe, "recipe.yaml")

    def points(self, points: Sequence[Point]) -> None:
        """Metrics at their steps. A line goes in one call, its epoch last: it is known by that."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        lines = [
            [
                Metric(_name(name), value, now, point.step)
                for name, value in _epoch_last(point.values)
            ]
            for point in points
        ]
        size = max(1, 1000 // max(len(line) for line in lines))
        for first in range(0, len(lines), size):
            batch = [metric for line in lines[first : first + size] for metric in line]
            self._client.log_batch(self._id, metrics=batch)

    def events(self, events: Sequence[Told]) -> None:
        """An artifact with all of them, and the newest of each kind as a tag."""
        lines = [f"step {each.step}: {each.name} ({each.text})" for each in events]
        self._client.log_text(self._id, "\n".join(lines) + "\n", "events.txt")
        for name, line in {
            each.name: line for each, line in zip(events, lines, strict=True)
        }.items():
            self._client.set_tag(self._id, f"event.{name}", _value(line))

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics at the run's last step; a new point only where a value has changed."""
        before: Mapping[str, float] = self._client.get_run(self._id).data.metrics
        for name, value in values.items():
            if before.get(_name(name)) != value:
                self._client.log_metric(self._id, _name(name), value, step=step)

    def flush(self) -> None:
        """All was committed."""

    def finish(self, state: str) -> None:
        """Say what became of the run."""
        self._client.set_terminated(self._id, _STATES[state])

    def _find_experiment(self, artifacts: str | None) -> str:
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name, artifact_location=artifacts)
            except MlflowException:  # another run has made it meanwhile
                found = self._client.get_experiment_by_name(name)
        if found is None:
            raise RuntimeError(f"MLflow has no experiment {name} and makes none")
        return found.experiment_id

    def _find_run(self) -> str | None:
        found = self._client.search_runs(
            [self._experiment], f"tags.{_RUN_TAG} = '{self._key}'", max_results=1
        )
        return found[0].info.run_id if found else None

    def _new_run(self) -> str:
        tags = {_RUN_TAG: self._key}
        return self._client.create_run(self._experiment, tags=tags, run_name=self._name).info.run_id


def _epoch_last(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: item[0] == "epoch")


def _name(name: str) -> str:
    """A name that MLflow takes: letters, digits, and `_ - . / : space`; what else there is becomes its code point."""
    return re.sub(r"[^\w\-./ :]", lambda found: f"_{ord(found[0]):x}_", name)[:250]


def _value(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"
