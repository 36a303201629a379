"""What is decided of the arms: it is in the log, or told; what it was decided for does not decide again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from lexitrain.abtest.service.settings import GuardrailLimits
from tests.abtest.served import TOKEN, ScriptedEngine, ServedTest, wait_until

LIMITS = GuardrailLimits(least=20, window=40)


def nonsense() -> ScriptedEngine:
    """An arm that no answer of can be read."""
    return ScriptedEngine("model-b", "no JSON at all")


def kinds(served: ServedTest) -> list[str]:
    """Of all events, in order."""
    return [each[0] for each in served.rows("SELECT kind FROM events ORDER BY number")]


def stopped(served: ServedTest) -> None:
    """As many learners ask as it takes until arm b is stopped."""
    for _ in range(200):
        served.ask(served.learner())
        if served.tutor.guardrails.stopped:
            break
    assert served.tutor.guardrails.stopped == "b"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[ServedTest], None]:
    """Lets a test's log find its disk full, until `monkeypatch.undo`."""

    def fill(served: ServedTest) -> None:
        def commit() -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(served.tutor.log._writer._database, "commit", commit)

    return fill


def refuse_events(served: ServedTest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The log takes all but events, until `monkeypatch.undo`; how often it refused one is counted."""
    writer = served.tutor.log._writer
    transaction, refused = writer._transaction, [0]

    def no_events(batch: list) -> list:
        if any("note_event" in job.work.__qualname__ for job in batch):
            refused[0] += 1
            raise sqlite3.OperationalError("database is locked")
        return transaction(batch)

    monkeypatch.setattr(writer, "_transaction", no_events)
    return refused


def test_an_arm_that_the_team_resumes_is_judged_anew(tmp_path: Path) -> None:
    """On every server of the test: what an arm was stopped for would stop it again with the next request."""
    path = tmp_path / "t.db"
    with (
        ServedTest(path, b=nonsense(), guardrails=LIMITS) as one,
        ServedTest(path, b=nonsense(), guardrails=LIMITS) as two,
    ):
        for _ in range(60):
            learner = one.learner()
            one.ask(learner)
            if not one.tutor.guardrails.stopped:
                two.ask(learner)
        stopped(one)
        wait_until(lambda: two.tutor.guardrails.stopped == "b")
        for served in (one, two):
            assert served.tutor.guardrails.states("b")[2].requests
        wait_until(lambda: kinds(one) == ["stopped"])
        one.b.answer_text = two.b.answer_text = one.a.answer_text
        assert one.call("POST", "/v1/team/resume", {"arm": "b"}, TOKEN)[0] == 200
        wait_until(lambda: two.tutor.guardrails.stopped is None)
        for served in (one, two):
            assert served.tutor.guardrails.states("b")[2].requests == 0
            for _ in range(10):
                served.ask(served.learner())
            assert served.tutor.guardrails.stopped is None
        assert kinds(one) == ["stopped", "resumed"]


@pytest.mark.parametrize("what", ["stop", "resume"])
def test_what_the_team_decides_is_in_the_log_or_not_done(
    served: ServedTest, what: str, full: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "resume":
        assert served.call("POST", "/v1/team/stop", {"arm": "a"}, TOKEN)[0] == 200
    before, events = served.tutor.guardrails.stopped, kinds(served)
    full(served)
    status, said = served.call("POST", f"/v1/team/{what}", {"arm": "a"}, TOKEN)
    assert (status, said["error"]["code"]) == (503, "unavailable")
    assert served.tutor.guardrails.stopped == before
    assert kinds(served) == events
    assert any("disk is full" in each for each in served.told)
    monkeypatch.undo()
    assert served.call("POST", f"/v1/team/{what}", {"arm": "a"}, TOKEN)[0] == 200
    assert served.tutor.guardrails.stopped == ("a" if what == "stop" else None)
    assert len(kinds(served)) == len(events) + 1


def test_what_a_guardrail_decides_holds_and_is_written_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ServedTest(tmp_path / "t.db", b=nonsense(), guardrails=LIMITS) as served:
        refused = refuse_events(served, monkeypatch)
        stopped(served)
        wait_until(lambda: refused[0] > 4)  # tried together and alone, again and again
        assert served.tutor.guardrails.stopped == "b"
        assert kinds(served) == []
        assert served.call("POST", "/v1/team/resume", {"arm": "b"}, TOKEN)[0] == 503
        assert served.tutor.guardrails.stopped == "b"
        monkeypatch.undo()
        wait_until(lambda: kinds(served) == ["stopped"])
        assert served.call("POST", "/v1/team/resume", {"arm": "b"}, TOKEN)[0] == 200
        assert kinds(served) == ["stopped", "resumed"]


def test_a_decision_that_is_not_written_at_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ServedTest(tmp_path / "t.db", b=nonsense(), guardrails=LIMITS) as served:
        refuse_events(served, monkeypatch)
        stopped(served)
    assert kinds(served) == []
    assert any(each.startswith("Not in the log: stopped, arm b") for each in served.told)


def test_what_fails_again_and_again_is_told_and_followed_all_the_same(
    served: ServedTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that nobody can read, here: their details are no JSON."""
    with sqlite3.connect(served.data) as log:
        log.execute(
            "INSERT INTO events (experiment, at, kind, arm, details) VALUES ('ab', 0, 'stopped', 'a', 'no JSON')"
        )
    log.close()
    wait_until(lambda: any("Following the test's log fails" in each for each in served.told))
    with sqlite3.connect(served.data) as log:
        log.execute("UPDATE events SET details = '{}'")
    log.close()
    wait_until(lambda: served.tutor.guardrails.stopped == "a")
    assert sum("Following the test's log fails" in each for each in served.told) == 1
