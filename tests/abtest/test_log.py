"""The log of a test: in SQLite and PostgreSQL alike, on the disk when it says so, and never twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lexitrain.abtest.log import database
from lexitrain.abtest.log.counts import counts
from lexitrain.abtest.log.database import Address, Unavailable
from lexitrain.abtest.log.entries import NewExposure
from lexitrain.abtest.log.learner_data import learner_data
from lexitrain.abtest.log.log import Log
from lexitrain.abtest.log.observed import observed, read_ab
from lexitrain.errors import DataError, InputError, MissingExtra


@pytest.fixture(params=["sqlite", "postgresql"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a log is kept."""
    if request.param == "sqlite":
        yield str(tmp_path / "t.db")
        return
    pytest.importorskip("psycopg")
    from tests.tuning.postgres import postgres

    with postgres() as url:
        yield url


def with_log(data: str | Path, work: Callable[[Log], Any], **more: Any) -> Any:
    """What `work` gives, with a log that is open."""

    async def run() -> Any:
        log = Log(Address(data), **{"experiment": "ab", "a": "x", "b": "y", "ratio": 0.5, **more})
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(run())


def new(exposure: str, learner: str = "l1", **more: Any) -> NewExposure:
    values = {
        "experiment": "ab",
        "consent": "v1",
        "task": "grammar",
        "assigned": "a",
        "served": "a",
    }
    return NewExposure(exposure, learner=learner, at=time.time(), **{**values, **more})


async def story(log: Log) -> None:
    """Three learners, of whom one changes his mind and one goes."""
    await log.keep_consent("v1", "text")
    for learner in ("l1", "l2", "l3"):
        await log.agree(learner, "v1")
        await log.agree(learner, "v1")
    assert await log.expose(new("e1"))
    assert await log.expose(new("e1"))  # the same again is the same
    assert await log.expose(new("e2", "l2", assigned="b", served="b", sentence="'; --"))
    assert await log.expose(new("e3", "l3"))
    assert not await log.expose(new("e4", "stranger"))
    assert not await log.expose(new("e5", consent="v2"))
    log.complete("e1", "answered", 0.5, None)
    log.complete("e1", "gone", 9.0, None)  # it has ended already
    log.complete("e2", "invalid", 0.25, "an answer")
    log.complete("e3", "error", 1.0, None)
    said: dict[str, Any] = {"helpful": None, "stars": None, "corrected": None}
    assert await log.rate("e1", "l1", **{**said, "stars": 2}, revision=1) == "counted"
    assert await log.rate("e1", "l1", **{**said, "helpful": False}, revision=2) == "counted"
    assert await log.rate("e1", "l1", **{**said, "stars": 5}, revision=2) == "stale"
    assert await log.rate("e1", "l2", **{**said, "stars": 5}, revision=9) == "unknown"
    assert await log.rate("e9", "l1", **{**said, "stars": 5}, revision=9) == "unknown"
    assert await log.rate("e2", "l2", **{**said, "corrected": "ü 😀"}, revision=1) == "counted"
    assert await log.note_outcome("e1", "l1", fixed=True, revision=1) == "counted"
    assert await log.note_outcome("e1", "l1", fixed=False, revision=1) == "stale"
    assert await log.delete("l3") == 1
    assert await log.delete("l3") == 0
    assert [each.kind for each in await log.events()] == ["deleted"]
    assert await log.events(after=(await log.events())[-1].number) == []
    await log.check()


def test_both_databases_tell_the_same_story(data: str) -> None:
    with_log(data, story)
    seen = observed(data)
    assert seen.learners == ("l1", "l2")
    assert seen.assigned.tolist() == [0, 1]
    assert seen.latency_ms.tolist() == [500.0, 250.0]
    assert seen.status.tolist() == [0, 2]
    assert seen.helpful[0] == 0
    assert seen.fixed[0] == 1
    assert seen.corrected.tolist() == [0, 1]
    assert seen.experiment.arms == ("x", "y")

    async def look(log: Log) -> tuple[Any, Any]:
        return (
            await log.read(lambda each: counts(each, "ab")),
            await log.read(lambda each: learner_data(each, "l2")),
        )

    counted, mine = with_log(data, look)
    assert counted["a"]["states"]["answered"] == counted["a"]["rated"] == 1
    assert counted["b"]["states"]["invalid"] == counted["b"]["corrected"] == 1
    assert mine["requests"][0]["corrected"] == "ü 😀"
    assert mine["requests"][0]["sentence"] == "'; --"
    with pytest.raises(InputError, match="was begun with x"):
        with_log(data, story, a="z")
    with pytest.raises(InputError, match="no test 'other'"):
        observed(data, "other")


def test_servers_that_begin_together_agree(data: str) -> None:
    """Salt and secret are those of the first one."""

    async def both() -> list[Any]:
        facts = {"experiment": "ab", "a": "x", "b": "y", "ratio": 0.5}
        one, two = Log(Address(data), **facts), Log(Address(data), **facts)
        await one.agree("l1", "v1")
        assert await two.has_agreed("l1", "v1")
        done = await asyncio.gather(
            *(
                each.expose(new(f"e{n}-{k}"))
                for n in range(200)
                for k, each in enumerate((one, two))
            )
        )
        assert all(done)
        found = [one.facts, two.facts, await one.read(lambda each: counts(each, "ab"))]
        await one.close()
        await two.close()
        return found

    one, two, counted = asyncio.run(both())
    assert one == two
    assert counted["a"]["requests"] == 400


def test_a_test_that_has_shown_nothing_has_no_report(tmp_path: Path) -> None:
    async def nothing(log: Log) -> None: ...

    with_log(tmp_path / "t.db", nothing)
    with pytest.raises(DataError, match="Nothing was shown"):
        read_ab(tmp_path / "t.db")


def test_what_is_stopped_in_between_is_left_out(tmp_path: Path) -> None:
    async def work(log: Log) -> None:
        for learner in ("l1", "l2"):
            await log.agree(learner, "v1")
        for number in range(3):
            if number == 1:
                await log.note("stopped", "b", {})
                await asyncio.sleep(0.02)
            if number == 2:
                await log.note("resumed", "b", {})
                await asyncio.sleep(0.02)
            served = "a" if number == 1 else "b"
            await log.expose(new(f"a{number}"))
            await log.expose(new(f"b{number}", "l2", assigned="b", served=served))
            for each in ("a", "b"):
                log.complete(f"{each}{number}", "answered", 0.1, None)
            await asyncio.sleep(0.02)

    with_log(tmp_path / "t.db", work)
    assert len(observed(tmp_path / "t.db").time) == 4


def test_the_file_is_its_owners_alone_and_every_commit_is_on_the_disk(tmp_path: Path) -> None:
    async def look(log: Log) -> tuple[Any, ...]:
        connection = log._writer._database._connection
        return tuple(
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete")
        )

    assert with_log(tmp_path / "t.db", look) == ("wal", 2, 1)
    assert stat.S_IMODE((tmp_path / "t.db").stat().st_mode) == 0o600


KILLED = """
    import asyncio, itertools, sys, time
    from lexitrain.abtest.log.database import Address
    from lexitrain.abtest.log.entries import NewExposure
    from lexitrain.abtest.log.log import Log

    async def one(log, number):
        name = f"e{number}"
        await log.expose(NewExposure(name, "ab", "l1", "v1", "grammar", "a", "a", log.now()))
        await log.rate(name, "l1", helpful=True, stars=1 + number % 5, corrected=None, revision=1)
        print(name, 1 + number % 5, flush=True)

    async def main():
        log = Log(Address(sys.argv[1]), "ab", "x", "y", 0.5)
        await log.agree("l1", "v1")
        for first in itertools.count(step=20):
            await asyncio.gather(*(one(log, first + each) for each in range(20)))

    asyncio.run(main())
"""


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_a_kill(data: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), data], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    said = dict(line.split() for line in lines if line.count(" ") == 1 and line.strip())
    assert len(said) >= 200

    async def stars(log: Log) -> Any:
        return await log.read(lambda each: learner_data(each, "l1")["requests"])

    kept = with_log(data, stars)
    assert len(kept) >= len(said)
    assert sum(each["stars"] is not None for each in kept) >= len(said)


def test_a_job_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    async def work(log: Log) -> list[Any]:
        def wrong(_: Any) -> None:
            raise ValueError("a fault")

        def refused(cursor: Any) -> None:
            cursor.execute("INSERT INTO learners (learner) VALUES (NULL)")

        writer = log._writer
        return await asyncio.gather(
            log.agree("l1", "v1"),
            writer.write(wrong),
            log.expose(new("e1")),
            writer.write(refused),
            log.expose(new("e2")),
            return_exceptions=True,
        )

    first, fault, one, refused, two = with_log(tmp_path / "t.db", work)
    assert (first, one, two) == (None, True, True)
    assert isinstance(fault, ValueError)
    assert isinstance(refused, Unavailable)
    with sqlite3.connect(tmp_path / "t.db") as log:
        assert log.execute("SELECT COUNT(*) FROM exposures").fetchone() == (2,)


def test_a_reader_that_takes_its_time_holds_up_nobody(tmp_path: Path) -> None:
    async def work(log: Log) -> bool:
        await log.agree("l1", "v1")
        with sqlite3.connect(tmp_path / "t.db") as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM learners").fetchall()
            async with asyncio.timeout(5):
                assert await log.expose(new("e1"))
                assert await log.delete("l1") == 1  # what is in its way is left for later
        return True

    assert with_log(tmp_path / "t.db", work)


@pytest.mark.parametrize(
    ("kind", "refused"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False)]
)
def test_a_drive_of_a_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, refused: bool
) -> None:
    monkeypatch.setattr(database, "_kind_of_drive", lambda _: kind)
    if refused:
        with pytest.raises(InputError, match=kind):
            Address(tmp_path / "t.db").connected()
        assert not (tmp_path / "t.db").exists()
    else:
        Address(tmp_path / "t.db").connected().close()


@pytest.mark.skipif(not Path("/proc/self/mountinfo").is_file(), reason="no list of mounts")
def test_the_kind_of_a_drive_is_the_systems() -> None:
    assert database._kind_of_drive(Path("/proc/self/x")) == "proc"
    assert database._kind_of_drive(Path("/x"))


def test_what_cannot_be_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    (tmp_path / "folder").mkdir()
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)")
        other.execute("INSERT INTO facts VALUES ('version', '99')")
    for name, words in (
        ("text.db", "not a database"),
        ("folder", "Is a directory"),
        ("no/such/t.db", "No such file"),
        ("other.db", "version 99"),
        ("mysql://u:secret@h/d", "mysql"),
        ("postgresql://u:secret@127.0.0.1:1/d", "cannot be used"),
    ):
        place = name if "://" in name else str(tmp_path / name)

        async def nothing(log: Log) -> None: ...

        with pytest.raises((InputError, MissingExtra)) as refused:
            with_log(place, nothing)
        assert words in str(refused.value), name
        assert "secret" not in str(refused.value)
    with pytest.raises(InputError, match="no such database"):
        observed(tmp_path / "none.db")
    with pytest.raises(InputError, match="version 99"):
        read_ab(tmp_path / "other.db")


def test_a_postgresql_that_was_started_again_is_found_again() -> None:
    """What was under way is done again, once; the same exposure does not count twice."""
    psycopg = pytest.importorskip("psycopg")
    from tests.tuning.postgres import postgres

    with postgres() as url:

        async def work(log: Log) -> Any:
            await log.agree("l1", "v1")
            for number in range(3):
                with psycopg.connect(url, autocommit=True) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                        " AND datname = current_database()"
                    )
                assert await log.expose(new(f"e{number}"))
            return await log.read(lambda each: counts(each, "ab"))

        assert with_log(url, work)["a"]["requests"] == 3
