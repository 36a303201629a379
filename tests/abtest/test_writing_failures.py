"""A log that cannot be written or read for a while, or not at all any more: what is told, and what is kept."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from lexitrain.abtest.log.database import Address, Unavailable
from lexitrain.abtest.log.log import Log
from lexitrain.abtest.recurring import Recurring
from lexitrain.abtest.told_once import ToldOnce
from lexitrain.errors import InputError
from tests.abtest.served import TOKEN, ScriptedEngine, ServedTest, wait_until
from tests.abtest.test_log import new


def states(path: Path) -> list[str]:
    with sqlite3.connect(path) as log:
        return [each[0] for each in log.execute("SELECT state FROM exposures ORDER BY exposure")]


@pytest.mark.parametrize("comes_back", [True, False])
def test_what_nobody_waits_for_is_kept_until_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    told: list[str] = []
    path = tmp_path / "t.db"

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def run() -> None:
        log = Log(Address(path), "ab", "x", "y", 0.5, tell=told.append)
        await log.agree("l1", "v1")
        for number in range(5):
            assert await log.expose(new(f"e{number}"))
        monkeypatch.setattr(log._writer._database, "commit", full)
        for number in range(5):
            log.complete(f"e{number}", "answered", 0.1, None)
        for _ in range(3):
            with pytest.raises(Unavailable, match="disk is full"):
                await log.agree("l2", "v1")
        if comes_back:
            monkeypatch.undo()
            await asyncio.to_thread(wait_until, lambda: states(path) == ["answered"] * 5)
        await log.close()

    asyncio.run(run())
    assert states(path) == ["answered" if comes_back else "open"] * 5
    assert told[0] == "The log cannot be written: database or disk is full"
    if comes_back:
        assert len(told) == 1
    else:
        assert len(told) == 2
        assert told[1] == "Entries that the log did not take, and that are lost: 5."


def test_an_entry_that_the_database_never_takes_is_in_no_others_way(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "t.db"

    def refused(cursor: Any) -> None:
        cursor.execute("INSERT INTO learners (learner) VALUES (NULL)")

    def wrong(_: Any) -> None:
        raise ValueError("a fault")

    async def run() -> None:
        log = Log(Address(path), "ab", "x", "y", 0.5, tell=told.append)
        await log.agree("l1", "v1")
        await log.expose(new("e1"))
        log._writer.write_some_time(refused)
        log._writer.write_some_time(wrong)
        log.complete("e1", "answered", 0.1, None)
        await asyncio.sleep(2.5)
        assert await log.expose(new("e2"))
        await log.close()

    asyncio.run(run())
    assert states(path) == ["answered", "open"]
    assert [each.partition(":")[0] for each in told] == [
        "The log cannot be written",
        "The log has a fault (ValueError)",
        "Entries that the log did not take, and that are lost",
    ]


def test_a_log_that_is_gone_is_no_log_that_is_busy(tmp_path: Path) -> None:
    """The one is told to the team and does not pass; the other may be tried again."""
    path = tmp_path / "t.db"
    with ServedTest(path) as served:
        path.rename(tmp_path / "moved.db")
        for _ in range(2):
            status, said = served.call("GET", "/v1/team", who=TOKEN)
            assert (status, said["error"]["code"]) == (500, "log")
        assert sum(each.startswith("Requests fail: ") for each in served.told) == 1
        assert served.call("GET", "/health")[0] == 503
        (tmp_path / "moved.db").rename(path)
        assert served.call("GET", "/v1/team", who=TOKEN)[0] == 200


def test_a_postgresql_that_is_away_may_be_tried_again() -> None:
    pytest.importorskip("psycopg")

    async def run() -> None:
        log = Log.__new__(Log)
        log._address = Address("postgresql://u:hush@127.0.0.1:1/d")
        with pytest.raises(Unavailable) as caught:
            await log.read(lambda _: None)
        assert "hush" not in str(caught.value)

    asyncio.run(run())


def test_a_file_that_is_no_database_any_more_is_an_input_error(tmp_path: Path) -> None:
    async def run() -> None:
        log = Log(Address(tmp_path / "t.db"), "ab", "x", "y", 0.5)
        await log.close()
        (tmp_path / "t.db").write_text("no database " * 100)
        with pytest.raises(InputError, match="not a database"):
            await log.read(lambda _: None)

    asyncio.run(run())


class Stuck(ScriptedEngine):
    """Cannot be closed."""

    async def close(self) -> None:
        raise OSError("it does not end")


def test_all_parts_are_closed_whatever_fails(tmp_path: Path) -> None:
    served = ServedTest(tmp_path / "t.db", a=Stuck("a"), b=Stuck("b"))
    with pytest.raises(OSError, match="does not end"), served:
        served.ask(served.learner())
    assert not served.tutor.log._writer._thread.is_alive()
    assert states(tmp_path / "t.db") == ["answered"]


def test_a_model_that_does_not_load_leaves_nothing_open(tmp_path: Path) -> None:
    class Broken(ScriptedEngine):
        async def open(self) -> None:
            raise InputError("It cannot be loaded.")

    closed: list[str] = []

    class Told(ScriptedEngine):
        async def close(self) -> None:
            closed.append(self.name)

    with (
        pytest.raises(InputError, match="cannot be loaded"),
        ServedTest(tmp_path / "t.db", a=Told("a"), b=Broken("b")),
    ):
        pass
    assert closed == ["a"]
    (tmp_path / "t.db").unlink()  # nobody holds it


@pytest.mark.parametrize(
    "error", [ValueError("odd"), OSError("away"), InputError("wrong")], ids=repr
)
def test_work_that_recurs_survives_what_it_raises(error: Exception) -> None:
    told: list[str] = []
    done = 0

    async def work() -> None:
        nonlocal done
        done += 1
        if done < 4:
            raise error

    async def run() -> None:
        found = Recurring("The work", work, 0.01, told.append)
        found.start()
        while done < 6:
            await asyncio.sleep(0.01)
        await found.close()
        before = done
        await asyncio.sleep(0.05)
        assert done == before

    asyncio.run(run())
    assert told == [f"The work fails and is tried again: {error}"]


def test_work_that_recurs_is_done_at_once_when_it_is_wanted() -> None:
    async def run() -> float:
        times: list[float] = []

        async def work() -> None:
            times.append(time.monotonic())

        found = Recurring("The work", work, 60.0, print)
        found.start()
        while not times:
            await asyncio.sleep(0.01)
        found.soon()
        while len(times) < 2:
            await asyncio.sleep(0.01)
        await found.close()
        return times[1] - times[0]

    assert asyncio.run(run()) < 10


def test_a_kind_is_told_again_after_a_while() -> None:
    now = 0.0
    told: list[str] = []
    once = ToldOnce(told.append, clock=lambda: now)
    for now in (0.0, 1.0, 599.0, 600.0, 601.0):
        once("a", f"a at {now:g}")
    once("b", "b")
    assert told == ["a at 0", "a at 600", "b"]
