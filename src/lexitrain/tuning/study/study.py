"""A study: the trials of its units, in a database that any number of workers share.

Every worker of every machine does the same: it looks at what is done, adds what is due and not there, and takes the
first trial that waits. Taking locks the trial's row (in SQLite the file, see `sqlite_locks.py`), so that no two
workers have the same trial. Two workers
may add the same unit at the same moment; then the trial with the lowest number counts, and the other is pruned when it
is taken.

A worker records a heartbeat. A trial whose heartbeat has ended is failed and added again (optuna's
`RetryHeartbeatStaleTrialCallback`); it is the same unit, so it trains in the same folder and goes on from its
checkpoint. The first heartbeat is recorded before a trial is taken: optuna never takes one without any for dead.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lexitrain.errors import number_of
from lexitrain.tuning.designs.unit import Outcome, Unit
from lexitrain.tuning.study.address import Address
from lexitrain.tuning.study.heartbeat import beating
from lexitrain.tuning.study.sqlite_locks import write_at_once
from lexitrain.tuning.study.stored import stored_outcome, stored_unit, told_of_the_study

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from optuna.trial import FrozenTrial

UNIT, OUTCOME, RETURNED = "unit", "outcome", "returned"
MOST_KILLS = 5
"""How often a unit may lose its worker before it counts as failed: its memory is probably what kills it."""
_GRACE = 6
"""Heartbeats that a living worker may miss."""


@dataclass(frozen=True)
class Taken:
    """A trial that this worker has.

    Attributes:
        id: of the trial in the database.
        unit: what it runs.
        run: name of its folder in `trials/`.
    """

    id: int
    unit: Unit
    run: str


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        outcomes: of the units that are done, by key.
        waiting, running: keys of the units that have a trial which waits or runs.
    """

    outcomes: Mapping[str, Outcome]
    waiting: frozenset[str]
    running: frozenset[str]


class Study:
    """A study in its database.

    Args:
        address: of the database.
        name: of the study in it.
        axes: field -> the values that it may take, for whoever looks at the study with optuna's own tools.
        heartbeat: seconds between two signs of life.
    """

    def __init__(
        self, address: Address, name: str, axes: Mapping[str, Sequence[Any]], heartbeat: int
    ) -> None:
        self.address, self.name = address, name
        self._axes, self._heartbeat = axes, heartbeat

    @cached_property
    def _storage(self) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                # Optuna fills braces in a URL out.
                self.address.url.replace("{", "{{").replace("}", "}}"),
                engine_kwargs={
                    "connect_args": self._patience,
                    "pool_pre_ping": not self.address.url.startswith("sqlite"),
                },
                heartbeat_interval=self._heartbeat,
                grace_period=_GRACE * self._heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    max_retry=MOST_KILLS - 1
                ),
            )
        if self.address.url.startswith("sqlite"):
            write_at_once(storage.engine)
        return storage

    @property
    def _patience(self) -> dict[str, int]:
        """How long to wait, in seconds: for another process to write to a file, or for a server to answer."""
        if self.address.url.startswith("sqlite"):
            return {"timeout": 60}
        return {"connect_timeout": 10} if self.address.url.startswith("postgresql") else {}

    @cached_property
    def _study(self) -> Any:
        import optuna

        return optuna.create_study(
            storage=self._storage, study_name=self.name, direction="minimize", load_if_exists=True
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What is written about the study as a whole."""
        with told_of_the_study(self.name, self.address.shown):
            return self._study.user_attrs

    def write_fact(self, name: str, value: Any) -> None:
        """Write something about the study as a whole."""
        self._study.set_user_attr(name, value)

    def has_trials(self) -> bool:
        """Whether it holds any, by whomever."""
        with told_of_the_study(self.name, self.address.shown):
            return bool(self._study.get_trials(deepcopy=False))

    def progress(self) -> Progress:
        """How far it is."""
        trials = self._trials()
        first = _first_trials(trials)
        outcomes: dict[str, Outcome] = {}
        for each in trials:
            if each.state.is_finished() and OUTCOME in each.user_attrs:
                key = each.user_attrs[UNIT]
                outcomes.setdefault(key, _outcome(each.user_attrs, first))
        names: dict[str, set[str]] = {"WAITING": set(), "RUNNING": set()}
        for each in trials:
            if each.state.name in names:
                names[each.state.name].add(each.user_attrs[UNIT])
        return Progress(outcomes, frozenset(names["WAITING"]), frozenset(names["RUNNING"]))

    def retry_dead(self) -> None:
        """Fail the trials whose workers give no sign of life, and add them again."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)

    def add(self, units: Iterable[Unit]) -> None:
        """Add a trial for each unit that has none which waits, runs or is done. One that was killed too often fails."""
        trials = self._trials()
        there = {
            each.user_attrs[UNIT]
            for each in trials
            if not each.state.is_finished() or OUTCOME in each.user_attrs
        }
        for unit in units:
            if unit.key in there:
                continue
            killed = sum(
                each.state.name == "FAIL" and RETURNED not in each.user_attrs
                for each in trials
                if each.user_attrs[UNIT] == unit.key
            )
            if killed < MOST_KILLS:
                self._add(unit, "WAITING", {})
                continue
            reason = f"its worker was killed {number_of(killed, 'time')}, probably for its memory"
            self._add(unit, "FAIL", {OUTCOME: {"state": "failed", "reason": reason}})

    def take(self, keys: Iterable[str]) -> Taken | None:
        """Take the first waiting trial of these units; None where there is none."""
        import optuna

        wanted, trials = set(keys), self._trials()
        first = _first_trials(trials)
        for each in trials:
            key = each.user_attrs[UNIT]
            if each.state.name != "WAITING" or key not in wanted:
                continue
            trial = self._id(each.number)
            if self._is_repeated(each, trials):
                self._end(trial, "PRUNED")
                continue
            self._storage.record_heartbeat(trial)
            try:
                if self._storage.set_trial_state_values(trial, optuna.trial.TrialState.RUNNING):
                    return Taken(trial, stored_unit(key), first[stored_unit(key).run_key])
            except optuna.exceptions.UpdateFinishedTrialError:
                continue
        return None

    def beating(self, taken: Taken) -> AbstractContextManager[None]:
        """Signs of life of a taken trial while the block lasts."""
        return beating(self._storage, taken.id, self._heartbeat)

    def finish(self, taken: Taken, outcome: Outcome) -> None:
        """Write what came of a taken trial."""
        content = {
            name: value for name, value in outcome.to_json().items() if name not in _OF_THE_UNIT
        }
        if not self._write(taken.id, OUTCOME, content):
            return
        if outcome.loss is None:
            self._end(taken.id, "FAIL")
        else:
            self._end(taken.id, "COMPLETE", [outcome.loss])

    def give_back(self, taken: Taken) -> None:
        """Let a trial that was stopped wait for the next worker."""
        if self._write(taken.id, RETURNED, True):
            self._end(taken.id, "FAIL")
            self._add(taken.unit, "WAITING", {})

    def close(self) -> None:
        """Give the connections back."""
        if "_storage" in self.__dict__:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _trials(self) -> list[FrozenTrial]:
        with told_of_the_study(self.name, self.address.shown):
            trials = self._study.get_trials(deepcopy=False)
            ours = [
                each for each in trials if UNIT in each.user_attrs
            ]  # others are somebody else's
            for each in ours:
                unit = stored_unit(each.user_attrs[UNIT])
                if OUTCOME in each.user_attrs:
                    stored_outcome(unit, "", each.user_attrs[OUTCOME])
        return ours

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self.name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _is_repeated(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
        same = [
            each
            for each in trials
            if each.user_attrs[UNIT] == trial.user_attrs[UNIT] and each.number != trial.number
        ]
        return any(
            (OUTCOME in each.user_attrs and each.state.is_finished())
            or (not each.state.is_finished() and each.number < trial.number)
            for each in same
        )  # fmt: skip

    def _add(self, unit: Unit, state: str, attributes: Mapping[str, Any]) -> None:
        import optuna

        choices = {
            **{field: [_plain(value) for value in values] for field, values in self._axes.items()}
        }
        params = {field: _plain(value) for field, value in unit.changes.items() if field in choices}
        trial = optuna.create_trial(
            state=optuna.trial.TrialState[state],
            params=params,
            distributions={
                field: optuna.distributions.CategoricalDistribution(choices[field])
                for field in params
            },
            user_attrs={UNIT: unit.key, **attributes},
        )
        self._study.add_trial(trial)

    def _write(self, trial: int, name: str, value: Any) -> bool:
        """Write about a trial that runs; False where another worker has taken this one for dead."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self._storage.set_trial_user_attr(trial, name, value)
        except UpdateFinishedTrialError:
            return False
        return True

    def _end(self, trial: int, state: str, values: Sequence[float] | None = None) -> None:
        import optuna

        try:
            self._storage.set_trial_state_values(trial, optuna.trial.TrialState[state], values)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # it was taken for dead meanwhile; whoever has it now finds the run finished


_OF_THE_UNIT = {"run", "changes", "share", "seed"}


def _first_trials(trials: Sequence[FrozenTrial]) -> dict[str, str]:
    """Run -> the name of its folder: the number of its first trial, so that all its attempts and shares are one run."""
    first: dict[str, int] = {}
    for each in trials:
        key = stored_unit(each.user_attrs[UNIT]).run_key
        first[key] = min(first.get(key, each.number), each.number)
    return {key: f"{number:03d}" for key, number in first.items()}


def _outcome(attributes: Mapping[str, Any], first: Mapping[str, str]) -> Outcome:
    unit = stored_unit(attributes[UNIT])
    return stored_outcome(unit, first[unit.run_key], attributes[OUTCOME])


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else json.dumps(value)
