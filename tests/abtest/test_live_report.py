"""The statistics that the team's page shows: how old they are, and why there are none."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from lexitrain.abtest.service.live_report import LiveReport, Newest
from tests.abtest.served import TOKEN, ServedTest, wait_until
from tests.abtest.test_log import with_log


def computed(report: LiveReport) -> Newest:
    """What is known when the computation that is due is done."""

    async def run() -> Newest:
        report.newest()
        assert report._work is not None
        await report._work
        found = report._newest
        await report.close()
        return found

    return asyncio.run(run())


def test_a_test_that_has_shown_nothing_is_no_trouble(tmp_path: Path) -> None:
    async def nothing(log: object) -> None: ...

    with_log(tmp_path / "t.db", nothing)
    found = computed(LiveReport(str(tmp_path / "t.db"), "ab"))
    assert (found.figures, found.trouble) == (None, None)
    assert found.at is not None


@pytest.mark.parametrize(
    ("experiment", "words"), [("other", "no test 'other'"), ("ab", "not a database")]
)
def test_what_is_wrong_is_told_and_not_taken_for_too_little(
    tmp_path: Path, experiment: str, words: str
) -> None:
    async def nothing(log: object) -> None: ...

    with_log(tmp_path / "t.db", nothing)
    if experiment == "ab":
        (tmp_path / "t.db").write_text("no database " * 100)
    found = computed(LiveReport(str(tmp_path / "t.db"), experiment))
    assert (found.figures, found.at) == (None, None)
    assert words in str(found.trouble)


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program"])
def test_a_process_that_does_not_work_leaves_the_figures_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    report = LiveReport(str(tmp_path / "t.db"), "ab")
    report._newest = Newest({"learners": 3}, 5.0)
    monkeypatch.setattr(sys, "executable", program)
    found = computed(report)
    assert (found.figures, found.at) == ({"learners": 3}, 5.0)
    assert found.trouble


def test_the_team_hears_how_old_the_figures_are(served: ServedTest) -> None:
    served.ask(served.learner())
    _, state = served.call("GET", "/v1/team", who=TOKEN)
    assert (state["report"], state["reported"], state["report_trouble"]) == (None, None, None)

    def has_come() -> bool:
        nonlocal state
        _, state = served.call("GET", "/v1/team", who=TOKEN)
        return state["reported"] is not None

    wait_until(has_come, 120)
    assert 0 <= state["now"] - state["reported"] < 120
    assert state["report"]["exposures"] == 1
    assert state["report_trouble"] is None
