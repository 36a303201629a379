"""Trackio: rows in the database of a local project, written by trackio's own storage.

Its `init` and `log` write in a thread that swallows what goes wrong; the storage raises it, takes a step as it is
given, and passes over a row that it has already. Nothing is sent: `trackio sync` does that when the user says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lexitrain.watching.trackers.places import PROJECT

if TYPE_CHECKING:
    from lexitrain.runs import Run
    from lexitrain.watching.trackers.telling import Losses, Point, Told

_LEVELS = {
    "nan": "error",
    "validation_nan": "error",
    "rung": "warn",
    "spike": "warn",
    "broken": "warn",
}


class TrackioProject:
    """One run in a project of trackio.

    Args:
        run: the run.
        key: its identity there.
        project: name of the project; empty: the usual one.
    """

    def __init__(self, run: Run, key: str, project: str) -> None:
        from trackio.sqlite_storage import SQLiteStorage
        from trackio.utils import TRACKIO_DIR

        self._store: Any = SQLiteStorage
        self._project = project or PROJECT
        self._name, self._key = run.path.resolve().name, key
        self._store.validate_project_name(self._project)
        self._store.init_db(self._project)
        self._config: dict[str, str] | None = None
        self.place = f"project {self._project} in {TRACKIO_DIR}"

    def told(self) -> dict[int, Losses]:
        """The rows with a training loss."""
        rows: list[dict[str, Any]] = self._store.get_logs(
            self._project, self._name, run_id=self._key
        )
        return {
            int(row["step"]): (row.get("loss"), row.get("validation_loss"))
            for row in rows
            if "epoch" in row
        }

    def start_again(self) -> None:
        """Delete the run's rows."""
        self._store.delete_run(self._project, self._name, run_id=self._key)

    def settings(self, values: Mapping[str, str], recipe: str) -> None:
        """The recipe's fields, written with the next rows."""
        del recipe
        self._config = dict(values)

    def points(self, points: Sequence[Point]) -> None:
        """A row a line."""
        self._log([dict(each.values) for each in points], [each.step for each in points], "line")

    def events(self, events: Sequence[Told]) -> None:
        """Alerts, of which none is sent anywhere."""
        if not events:
            return
        self._store.bulk_alert(
            project=self._project,
            run=self._name,
            run_id=self._key,
            titles=[each.name for each in events],
            texts=[each.text for each in events],
            levels=[_LEVELS.get(each.name, "info") for each in events],
            steps=[each.step for each in events],
            timestamps=[datetime.fromtimestamp(each.seconds, UTC).isoformat() for each in events],
            alert_ids=[f"{self._key}-event-{each.number}" for each in events],
        )

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """A row at the run's last step."""
        marks = "-".join(f"{name}={value!r}" for name, value in sorted(values.items()))
        self._log([dict(values)], [step], f"scores-{marks}")

    def flush(self) -> None:
        """All was committed."""

    def finish(self, state: str) -> None:
        """There is nothing to close."""

    def _log(self, rows: list[dict[str, float]], steps: list[int], what: str) -> None:
        self._store.bulk_log(
            project=self._project,
            run=self._name,
            run_id=self._key,
            metrics_list=rows,
            steps=steps,
            config=self._config,
            log_ids=[f"{self._key}-{what}-{step}" for step in steps],
        )
        self._config = None
