"""The study in its database, as workers share it. A worker that dies is one whose heartbeats end."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from lexitrain.errors import LexiTrainError, MissingExtra, RunChanged, RunError, Stopped
from lexitrain.training import NotANumber
from lexitrain.tuning.designs.unit import Outcome, Unit
from lexitrain.tuning.study.address import address_of
from lexitrain.tuning.study.study import MOST_KILLS, Study, Taken
from lexitrain.tuning.workers.processes import error_of, told_of

UNITS = [Unit({"lora.rank": rank}, 1.0, 42) for rank in (4, 8, 16)]
KEYS = [unit.key for unit in UNITS]
AXES = {"lora.rank": [4, 8, 16]}


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study(address_of(None, tmp_path), "s", AXES, 1)
    yield made
    made.close()


def another(study: Study) -> Study:
    return Study(study.address, study.name, AXES, 1)


def finished(taken: Taken, loss: float) -> Outcome:
    return Outcome(
        taken.unit, taken.run, "finished", loss, loss, 7, 1.5, 0.1, 0.25, 1000
    )  # fmt: skip


def taken_from(study: Study) -> Taken:
    taken = study.take(KEYS)
    assert taken is not None
    return taken


def test_a_trial_is_taken_once_and_its_outcome_is_read_back(study: Study) -> None:
    study.add(UNITS)
    study.add(UNITS)  # they are there
    taken = taken_from(study)
    assert taken.unit == UNITS[0]
    progress = study.progress()
    assert (progress.running, progress.waiting) == ({KEYS[0]}, set(KEYS[1:]))
    study.finish(taken, finished(taken, 0.25))
    assert another(study).progress().outcomes == {KEYS[0]: finished(taken, 0.25)}
    assert {taken_from(study).unit.key for _ in range(2)} == set(KEYS[1:])
    assert study.take(KEYS) is None


def test_workers_that_take_at_once_have_different_trials(study: Study) -> None:
    study.add([Unit({"lora.rank": 4}, 1.0, seed) for seed in range(12)])
    keys = [Unit({"lora.rank": 4}, 1.0, seed).key for seed in range(12)]
    taken: list[Taken] = []
    ready = Barrier(4)

    def take() -> None:
        own = another(study)
        ready.wait()
        while (each := own.take(keys)) is not None:
            taken.append(each)
        own.close()

    threads = [Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each.unit.key for each in taken) == sorted(keys)


def test_of_a_unit_that_was_added_twice_the_first_trial_counts(study: Study) -> None:
    """Two workers may find at the same moment that a unit is not there."""
    study.add(UNITS[:1])
    study._add(UNITS[0], "WAITING", {})  # what another worker does between look and add
    assert taken_from(study).unit == UNITS[0]
    assert study.take(KEYS) is None
    assert [each.state.name for each in study._trials()] == ["RUNNING", "PRUNED"]


@pytest.mark.slow
def test_a_trial_whose_worker_is_dead_is_taken_up_again_in_its_folder(study: Study) -> None:
    study.add(UNITS[:2])
    dead, alive = taken_from(study), taken_from(study)
    with study.beating(alive):
        deadline = time.monotonic() + 30
        while study.take(KEYS[:1]) is None:
            assert time.monotonic() < deadline
            study.retry_dead()
            time.sleep(0.5)
    progress = study.progress()
    assert progress.running == set(KEYS[:2])
    again = [each for each in study._trials() if each.user_attrs["unit"] == KEYS[0]]
    assert [each.state.name for each in again] == ["FAIL", "RUNNING"]
    # The dead one lives after all: its word does not count any more, and harms nothing.
    study.finish(dead, finished(dead, 9.0))
    study.give_back(dead)
    assert study.progress().outcomes == {}
    study.finish(alive, finished(alive, 0.2))
    assert study.progress().outcomes[KEYS[1]].run == "001"


def test_a_unit_that_kills_its_workers_fails_in_the_end(study: Study) -> None:
    import optuna

    for _ in range(MOST_KILLS):
        study.add(UNITS[:1])
        taken = taken_from(study)
        assert taken.run == "000"
        study._storage.set_trial_state_values(taken.id, optuna.trial.TrialState.FAIL)
    study.add(UNITS[:1])
    assert study.take(KEYS) is None
    outcome = study.progress().outcomes[KEYS[0]]
    assert (outcome.state, outcome.loss) == ("failed", None)
    assert "killed 5 times" in outcome.reason


def test_a_trial_that_was_stopped_waits_however_often(study: Study) -> None:
    study.add(UNITS[:1])
    for _ in range(MOST_KILLS + 2):
        taken = taken_from(study)
        study.give_back(taken)
    taken = taken_from(study)
    assert taken.run == "000"
    study.finish(taken, Outcome(taken.unit, taken.run, "failed", reason="memory ran out"))
    assert study.progress().outcomes[KEYS[0]].reason == "memory ran out"
    study.add(UNITS[:1])
    assert study.take(KEYS) is None


@pytest.mark.parametrize(
    "error",
    [
        Stopped("full", where="/there", fix="make room"),
        MissingExtra("psycopg", "tune"),
        RunChanged("another recipe", where="study 's'"),
        LexiTrainError("unexpected"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_worker_says_of_its_error_is_that_error(error: LexiTrainError) -> None:
    told = json.loads(json.dumps(told_of(error)))
    again = error_of(told)
    assert type(again) is type(error)
    assert (str(again), again.exit_code) == (str(error), error.exit_code)


def test_an_error_of_a_rooms_own_kind_is_told_as_the_public_kind() -> None:
    assert type(error_of(told_of(NotANumber("nan")))) is Stopped


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("unit", "no json"),
        ("unit", '{"changes": {}}'),
        ("unit", json.dumps("[1]")),
        ("unit", json.dumps('{"changes": 3, "share": 1.0, "seed": 42}')),
        ("unit", json.dumps('{"changes": {}, "share": "x", "seed": 42}')),
        ("outcome", "[" * 100_000),
        ("outcome", '{"loss": 0.1}'),
        ("outcome", '{"state": "finished", "loss": "0.1"}'),
        ("outcome", '{"state": "finished", "loss": NaN}'),
        ("outcome", '{"state": "finished", "evil": 1}'),
        ("outcome", '{"state": "odd", "loss": 0.1}'),
    ],
)
def test_a_study_that_something_else_has_written_to_is_told(
    study: Study, tmp_path: Path, column: str, value: str
) -> None:
    study.add(UNITS)
    taken = taken_from(study)
    study.finish(taken, finished(taken, 0.25))
    with sqlite3.connect(tmp_path / "study.db") as database:
        change = "update trial_user_attributes set value_json = ? where key = ?"
        assert database.execute(change, (value, column)).rowcount
    database.close()
    with pytest.raises(RunError, match="did not write"):
        another(study).progress()
