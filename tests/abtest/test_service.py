"""The service as learners, apps and the team use it."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from lexitrain.abtest.assignment import other
from lexitrain.abtest.log.observed import observed
from lexitrain.abtest.service.settings import GuardrailLimits, RequestLimits
from lexitrain.errors import InputError
from tests.abtest.served import GOOD, TOKEN, ScriptedEngine, ServedTest, wait_until


def events_of(said: bytes) -> list[tuple[str, dict]]:
    """Server-sent events as (name, content)."""
    found = []
    for each in said.decode().strip().split("\n\n"):
        name, data = each.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_learner_gets_an_answer_and_rates_it(served: ServedTest) -> None:
    learner = served.learner()
    answer = served.ask(learner)
    assert answer["answer"]["corrected"] == "She goes to school."
    assert answer["text"] == GOOD
    assert set(answer) == {"exposure", "task", "text", "answer"}
    rating = {"exposure": answer["exposure"], "helpful": True, "stars": 4}
    assert served.call("POST", "/v1/ratings", rating, learner) == (200, {"counted": True})
    outcome = {"exposure": answer["exposure"], "fixed": True}
    assert served.call("POST", "/v1/outcomes", outcome, learner) == (200, {"counted": True})
    seen = observed(served.data)
    assert (seen.helpful[0], seen.stars[0], seen.fixed[0]) == (1, 4, 1)
    assert seen.latency_ms[0] > 0


def test_each_request_is_one_exposure_in_its_learners_arm(served: ServedTest) -> None:
    learners = [served.learner() for _ in range(12)]
    for _ in range(3):
        for learner in learners:
            served.ask(learner)
    wait_until(lambda: set(served.states()) == {"answered"})
    rows = served.rows("SELECT learner, assigned, served, state FROM exposures")
    assert len(rows) == 36 == served.a.asked + served.b.asked
    assert all(assigned == got and state == "answered" for _, assigned, got, state in rows)
    arms = {learner: {a for who, a, _, _ in rows if who == learner} for learner, *_ in rows}
    assert all(len(each) == 1 for each in arms.values())
    assert {"a", "b"} == set.union(*arms.values())
    assert served.a.asked == sum(arm == "a" for _, arm, _, _ in rows)


def test_arms_stay_when_the_service_is_started_again(tmp_path: Path) -> None:
    with ServedTest(tmp_path / "t.db") as first:
        learners = [first.learner() for _ in range(20)]
        for learner in learners:
            first.ask(learner)
    with ServedTest(tmp_path / "t.db") as second:
        for learner in learners:
            second.ask(learner)
        rows = second.rows("SELECT learner, assigned FROM exposures")
    assert len(set(rows)) == 20


def test_a_stream_comes_in_pieces_and_ends_with_the_answer(served: ServedTest) -> None:
    learner = served.learner()
    body = json.dumps({"text": "She go.", "stream": True}).encode()
    status, headers, said = served.raw(
        "POST", "/v1/tutor/grammar", body, Authorization=f"Bearer {learner}"
    )
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    *pieces, (last, answer) = events_of(said)
    assert last == "answer"
    assert len(pieces) > 3
    assert "".join(piece["text"] for name, piece in pieces if name == "piece") == GOOD
    assert answer["answer"]["corrected"] == "She goes to school."
    rating = {"exposure": answer["exposure"], "stars": 1}
    assert served.call("POST", "/v1/ratings", rating, learner)[0] == 200


def test_nothing_says_which_arm_answers(served: ServedTest) -> None:
    """Neither what learners get nor the pages nor their own data name an arm or a model."""
    for _ in range(4):
        learner = served.learner()
        status, headers, body = served.raw(
            "POST", "/v1/tutor/grammar", b'{"text": "Hi"}', Authorization=f"Bearer {learner}"
        )
        mine = served.raw("GET", "/v1/learner", Authorization=f"Bearer {learner}")
        page = served.raw("GET", "/", Cookie=f"lexitrain_learner={learner}")
        assert (status, mine[0], page[0]) == (200, 200, 200)
        for said in (json.dumps(headers).encode(), body, mine[2], page[2]):
            assert b"model-a" not in said
            assert b"model-b" not in said
            assert b"assigned" not in said


@pytest.mark.parametrize(("text", "state"), [("fail", "error"), ("break", "error")])
@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_fails_is_an_error_of_its_arm(
    served: ServedTest, text: str, state: str, stream: bool
) -> None:
    learner = served.learner()
    body = json.dumps({"text": text, "stream": stream}).encode()
    status, _, said = served.raw(
        "POST", "/v1/tutor/grammar", body, Authorization=f"Bearer {learner}"
    )
    if stream:
        assert status == 200
        assert events_of(said)[-1][0] == "failed"
    else:
        assert status == 502
    assert b"told to fail" not in said
    wait_until(lambda: served.states() == [state])
    _, team = served.call("GET", "/v1/team", who=TOKEN)
    assert len(team["failures"]) == 1


@pytest.mark.parametrize("text", ["nonsense", "an answer that is cut"])
def test_an_answer_that_cannot_be_read_is_shown_as_such(served: ServedTest, text: str) -> None:
    answer = served.ask(served.learner(), text)
    assert answer["answer"] is None
    wait_until(lambda: served.states() == ["invalid"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_learner_who_leaves_is_one_exposure_and_frees_the_engine(
    served: ServedTest, stream: bool
) -> None:
    learner = served.learner()
    connection = served.opened(learner, "hang", stream=stream)
    wait_until(lambda: served.a.hanging.is_set() or served.b.hanging.is_set())
    if stream:
        connection.recv(100)
    assert served.states() == ["open"]
    connection.close()
    wait_until(lambda: served.states() == ["gone"])
    assert [each._free for each in served.tutor._places.values()] == [64, 64]
    seconds = served.rows("SELECT seconds FROM exposures")[0][0]
    assert 0 < seconds < 30


def test_what_is_under_way_when_the_service_ends_is_written(tmp_path: Path) -> None:
    with ServedTest(tmp_path / "t.db") as served:
        connection = served.opened(served.learner(), "hang")
        wait_until(lambda: served.a.hanging.is_set() or served.b.hanging.is_set())
    connection.close()
    assert served.states() == ["gone"]


def test_too_many_at_once_are_errors_of_the_arm(tmp_path: Path) -> None:
    """A slow arm that turns learners away must not look better for it."""
    limits = RequestLimits(learner=0, address=0, at_once=1)
    with ServedTest(tmp_path / "t.db", limits=limits) as served:
        learner = served.learner()
        first = served.opened(learner, "hang")
        wait_until(lambda: served.a.hanging.is_set() or served.b.hanging.is_set())
        status, _ = served.call("POST", "/v1/tutor/grammar", {"text": "Hi"}, learner)
        assert status == 502
        first.close()
        wait_until(lambda: sorted(served.states()) == ["error", "gone"])
        served.ask(learner)


# Consent and data


def test_without_consent_nothing_is_answered_nor_written(served: ServedTest) -> None:
    assert served.call("POST", "/v1/tutor/grammar", {"text": "Hi"})[0] == 401
    assert served.call("POST", "/v1/tutor/grammar", {"text": "Hi"}, "made.up")[0] == 401
    stranger = served.tutor.signatures.learner(served.tutor.signatures.new_id())
    status, said = served.call("POST", "/v1/tutor/grammar", {"text": "Hi"}, stranger)
    assert (status, said["error"]["code"]) == (403, "consent")
    assert served.rows("SELECT * FROM exposures") == []
    assert served.a.asked + served.b.asked == 0


def test_another_text_of_the_consent_asks_for_it_anew(tmp_path: Path) -> None:
    with ServedTest(tmp_path / "t.db") as first:
        learner = first.learner()
        first.ask(learner)
    texts = {"en": "Another text.", "vi": "Một văn bản khác."}
    with ServedTest(tmp_path / "t.db", consent=texts) as second:
        status, said = second.call("POST", "/v1/tutor/grammar", {"text": "Hi"}, learner)
        assert (status, said["error"]["code"]) == (403, "consent")
        _, now = second.call("GET", "/v1/consent", who=learner)
        assert (now["text"], now["agreed"]) == (texts, False)
        stale = {"version": "0" * 12, "agreed": True}
        assert second.call("POST", "/v1/consent", stale, learner)[0] == 409
        fresh = {"version": now["version"], "agreed": True}
        assert second.call("POST", "/v1/consent", fresh, learner)[1]["learner"] == learner
        second.ask(learner)
        assert len(second.rows("SELECT * FROM consents")) == 2
        assert len(second.rows("SELECT * FROM learners")) == 1


def test_a_learners_data_is_shown_and_deleted(served: ServedTest) -> None:
    one, two = served.learner(), served.learner()
    for learner in (one, two):
        answer = served.ask(learner)
        served.call(
            "POST",
            "/v1/ratings",
            {"exposure": answer["exposure"], "corrected": "a-secret-of-" + learner[:22]},
            learner,
        )
    _, mine = served.call("GET", "/v1/learner", who=one)
    assert mine["learner"] == one.partition(".")[0]
    assert mine["requests"][0]["corrected"] == "a-secret-of-" + one[:22]
    assert mine["requests"][0]["sentence"] is None  # not kept
    assert served.call("DELETE", "/v1/learner", who=one) == (200, {"exposures": 1})
    for table in ("exposures", "ratings", "learners"):
        assert len(served.rows(f"SELECT * FROM {table}")) == 1
    assert served.call("POST", "/v1/tutor/grammar", {"text": "Hi"}, one)[0] == 403
    assert served.call("GET", "/v1/learner", who=one)[1]["requests"] == []
    for file in Path(served.data).parent.iterdir():  # not in the log of writes either
        assert one[:22].encode() not in file.read_bytes()
    kinds = served.rows("SELECT kind, details FROM events")
    assert kinds == [("deleted", '{"exposures": 1}')]


def test_the_team_deletes_for_a_learner_who_asks(served: ServedTest) -> None:
    learner = served.learner()
    served.ask(learner)
    name = learner.partition(".")[0]
    assert served.call("DELETE", f"/v1/team/learners/{name}")[0] == 401
    assert served.call("DELETE", f"/v1/team/learners/{name}", who=TOKEN) == (200, {"exposures": 1})
    assert served.rows("SELECT * FROM exposures") == []


def test_texts_are_kept_only_where_the_consent_says_so(tmp_path: Path) -> None:
    with ServedTest(tmp_path / "t.db", keep_texts=True) as served:
        served.ask(served.learner(), "She  go.")
        wait_until(lambda: served.states() == ["answered"])
        assert served.rows("SELECT sentence, answer FROM exposures") == [("She go.", GOOD)]


# Ratings


def test_a_rating_is_changed_and_never_doubled(served: ServedTest) -> None:
    learner = served.learner()
    shown = served.ask(learner)["exposure"]

    def rate(revision: int, stars: int) -> int:
        said = {"exposure": shown, "stars": stars, "revision": revision}
        return served.call("POST", "/v1/ratings", said, learner)[0]

    assert rate(1, 2) == 200
    assert rate(1, 2) == 409  # the same, sent again
    assert rate(3, 5) == 200
    assert rate(2, 1) == 409  # came late, or was kept and sent again
    assert served.rows("SELECT stars, revision FROM ratings") == [(5, 3)]


def test_a_rating_of_another_learner_or_a_made_up_one_is_refused(served: ServedTest) -> None:
    mine, theirs = served.learner(), served.learner()
    shown = served.ask(mine)["exposure"]
    name, _, mark = shown.partition(".")
    forged = [
        (shown, theirs),
        (name, mine),
        (f"{name}.", mine),
        (f"{name}.{mark[:-1]}", mine),
        (f"{name}.{mark[:-1]}{'A' if mark[-1] != 'A' else 'B'}", mine),
        (f"{'A' * 22}.{mark}", mine),
        (f"{name}.{mark}.{mark}", mine),
        (mine, mine),  # another kind of signature
        ("ê.ê", mine),
        ("' OR 1=1 --.x", mine),
    ]
    for exposure, who in forged:
        for path, said in (("ratings", {"stars": 5}), ("outcomes", {"fixed": True})):
            status, _ = served.call("POST", f"/v1/{path}", {"exposure": exposure, **said}, who)
            assert status == 403, (exposure, path)
    assert served.rows("SELECT * FROM ratings") == served.rows("SELECT * FROM outcomes") == []


def test_an_exposure_of_another_test_is_refused(tmp_path: Path) -> None:
    """Two tests in one database know the same learners, and not each other's answers."""
    with ServedTest(tmp_path / "t.db", experiment="one") as first:
        learner = first.learner()
        shown = first.ask(learner)["exposure"]
    with ServedTest(tmp_path / "t.db", experiment="two") as second:
        second.ask(learner)
        assert (
            second.call("POST", "/v1/ratings", {"exposure": shown, "stars": 1}, learner)[0] == 403
        )


def test_a_rating_of_deleted_data_is_told_so(served: ServedTest) -> None:
    learner = served.learner()
    shown = served.ask(learner)["exposure"]
    served.call("DELETE", "/v1/learner", who=learner)
    assert served.call("POST", "/v1/ratings", {"exposure": shown, "stars": 1}, learner)[0] == 404


# The team


def test_the_teams_data_needs_its_token(served: ServedTest) -> None:
    for who in ("", "wrong", TOKEN + "x", TOKEN[:-1], "ü" * 10):
        status, _, body = served.raw(
            "GET", "/v1/team", Authorization=f"Bearer {who}".encode().decode("latin-1")
        )
        assert status == 401
        assert b"model-a" not in body
    assert served.call("POST", "/v1/team/stop", {"arm": "a"})[0] == 401
    assert served.call("GET", "/v1/team", who=TOKEN)[0] == 200


def test_the_team_sees_counts_guardrails_and_the_report(served: ServedTest) -> None:
    for number in range(30):
        learner = served.learner()
        for text in ("Hi.", "nonsense" if number % 10 == 0 else "Ho."):
            answer = served.ask(learner, text)
            said = {
                "exposure": answer["exposure"],
                "helpful": number % 3 > 0,
                "stars": 1 + number % 5,
            }
            assert served.call("POST", "/v1/ratings", said, learner)[0] == 200
    _, team = served.call("GET", "/v1/team", who=TOKEN)
    both = [team["counts"][arm] for arm in "ab"]
    assert sum(each["learners"] for each in both) == 30
    assert sum(each["requests"] for each in both) == sum(each["rated"] for each in both) == 60
    assert sum(each["states"]["invalid"] for each in both) == 3
    assert team["models"] == {"a": "model-a", "b": "model-b"}
    assert {each["name"] for each in team["guardrails"]["a"]} == {
        "p95_seconds",
        "errors",
        "invalid",
    }

    def has_report() -> bool:
        nonlocal team
        time.sleep(0.5)
        _, team = served.call("GET", "/v1/team", who=TOKEN)
        return team["report"] is not None

    wait_until(has_report, 120)
    report = team["report"]
    assert report["exposures"] == 60
    assert report["learners"] == 30
    assert report["kind"] == "not enough yet"
    assert report["arms"] == ["model-a", "model-b"]
    assert len(report["effects"]) >= 3


def test_a_harmful_arm_is_stopped_for_all_and_stays_so(tmp_path: Path) -> None:
    bad = ScriptedEngine("model-b")
    bad.answer_text = "no JSON at all"
    with ServedTest(tmp_path / "t.db", b=bad) as served:
        learners = [served.learner() for _ in range(60)]
        for _ in range(4):
            for learner in learners:
                served.ask(learner)
        _, team = served.call("GET", "/v1/team", who=TOKEN)
        assert team["stopped"] == "b"
        stopped = [each for each in team["events"] if each["kind"] == "stopped"]
        assert len(stopped) == 1
        assert stopped[0]["details"]["guardrail"] == "invalid"
        assert any("stopped" in each for each in served.told)
        asked = bad.asked
        assert asked < 80
        for learner in learners:
            assert served.ask(learner)["answer"] is not None
        assert bad.asked == asked
        assert team["counts"]["b"]["elsewhere"] > 0
        assert team["counts"]["a"]["elsewhere"] == 0
    with ServedTest(tmp_path / "t.db", b=bad) as again:
        for learner in learners[:10]:
            again.ask(learner)
        assert bad.asked == asked
        seen = observed(again.data)
        assert (seen.arm == seen.assigned[seen.learner]).all()  # that time is left out
        assert len(seen.time) < 240
        assert again.call("POST", "/v1/team/resume", {"arm": "a"}, TOKEN)[0] == 409
        assert again.call("POST", "/v1/team/resume", {"arm": "b"}, TOKEN)[0] == 200
        for learner in learners[:10]:
            again.ask(learner)
        assert bad.asked > asked


def test_the_team_stops_an_arm(served: ServedTest) -> None:
    assert served.call("POST", "/v1/team/stop", {"arm": "c"}, TOKEN)[0] == 422
    status, state = served.call("POST", "/v1/team/stop", {"arm": "a"}, TOKEN)
    assert (status, state["stopped"]) == (200, "a")
    assert served.call("POST", "/v1/team/stop", {"arm": "b"}, TOKEN)[0] == 409
    for _ in range(10):
        served.ask(served.learner())
    assert served.a.asked == 0


def test_a_slow_arm_is_stopped(tmp_path: Path) -> None:
    class Slow(ScriptedEngine):
        async def answer(self, question, tell):
            import asyncio

            await asyncio.sleep(0.05)
            return await super().answer(question, tell)

    limits = GuardrailLimits(seconds=0.04, least=20)
    with ServedTest(tmp_path / "t.db", b=Slow("slow"), guardrails=limits) as served:
        for _ in range(60):
            served.ask(served.learner())
        assert served.tutor.guardrails.stopped == "b"


def test_a_test_that_was_begun_otherwise_is_refused(tmp_path: Path) -> None:
    with ServedTest(tmp_path / "t.db"):
        pass
    for settings in ({"ratio": 0.6}, {"b": ScriptedEngine("another")}):
        with (
            pytest.raises(InputError, match="was begun with"),
            ServedTest(tmp_path / "t.db", **settings),
        ):
            pass
    with ServedTest(tmp_path / "t.db", ratio=0.6, experiment="second"):
        pass


def test_other_servers_of_a_test_hear_of_a_stop(tmp_path: Path) -> None:
    with ServedTest(tmp_path / "t.db") as one, ServedTest(tmp_path / "t.db") as two:
        learner = one.learner()
        one.ask(learner)
        two.ask(learner)
        arm = two.rows("SELECT DISTINCT assigned FROM exposures")
        assert len(arm) == 1
        one.call("POST", "/v1/team/stop", {"arm": arm[0][0]}, TOKEN)
        wait_until(lambda: two.tutor.guardrails.stopped == arm[0][0])
        two.ask(learner)
        assert two.rows("SELECT served FROM exposures ORDER BY at")[-1] == (other(arm[0][0]),)


def test_health(served: ServedTest) -> None:
    assert served.call("GET", "/health") == (200, {"status": "ok"})


def test_where_nothing_can_be_written_nobody_is_answered(
    served: ServedTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = served.learner()
    shown = served.ask(learner)["exposure"]
    asked = served.a.asked + served.b.asked

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(served.tutor.log._writer._database, "commit", full)
    for path, said in (
        ("/v1/tutor/grammar", {"text": "Hi."}),
        ("/v1/ratings", {"exposure": shown, "stars": 5}),
        ("/v1/outcomes", {"exposure": shown, "fixed": True}),
    ):
        status, refused = served.call("POST", path, said, learner)
        assert (status, refused["error"]["code"]) == (503, "unavailable")
    assert served.call("GET", "/health")[0] == 503
    assert served.a.asked + served.b.asked == asked
    monkeypatch.undo()
    assert served.call("GET", "/health")[0] == 200
    served.ask(learner)
    assert served.rows("SELECT * FROM ratings") == []
