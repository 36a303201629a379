"""What a test says: every verdict, what it warns of, and a report that stays as it is."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain import AbLimits, report_ab
from lexitrain.abtest.observations import Exposure, PlannedTest
from lexitrain.abtest.statistics.effects import Looking, effect_of
from lexitrain.abtest.statistics.learner_sums import learner_sums
from lexitrain.errors import InputError
from lexitrain.storage import json_text
from lexitrain.tasks import holm
from tests.abtest.worlds import ARMS, START, collected, experiment, exposures

GOLDEN = Path(__file__).parent / "golden_report.json"
FIXED = PlannedTest("helpful", 0.1, 2000, 7000, 1.3, kind="fixed")


def said(report: object) -> str:
    return json.dumps(report.to_json())  # type: ignore[attr-defined]


class TestVerdicts:
    def test_better_and_turned_round_worse(self):
        rows = exposures(900, effect=0.15)
        found = report_ab(collected(rows))
        assert found.verdict.kind == "better"
        assert found.verdict.headline == "new is better than old."
        turned = report_ab(collected(rows, experiment(arms=("new", "old"))))
        assert turned.verdict.kind == "worse"
        assert turned.verdict.headline.startswith("old is worse than new")

    def test_more_of_what_is_bad_is_worse(self):
        rows = [
            replace(row, corrected=row.arm == "new" and int(row.id[1:]) % 3 == 0)
            for row in exposures(600)
        ]
        found = report_ab(collected(rows, experiment(metrics=("corrected", "helpful"))))
        assert found.metrics[0].effect.difference == pytest.approx(1 / 3, abs=0.05)
        assert found.verdict.kind == "worse"
        assert "by more than the margin" in found.verdict.headline

    def test_no_worse_by_the_margin(self):
        rows = exposures(1500, seed=1)
        assert report_ab(collected(rows), margin=0.08).verdict.kind == "no worse"
        both = report_ab(collected(rows), margin=0.3).verdict
        assert "as good as each other" in both.reasons[0]

    def test_not_enough_yet_tells_how_much_longer(self):
        found = report_ab(collected(exposures(200)))
        assert found.verdict.kind == "not enough yet"
        assert "more learners" in found.verdict.reasons[1]
        assert "days at the pace so far" in found.verdict.reasons[1]

    def test_a_few_learners_have_no_interval_for_many_looks(self):
        found = report_ab(collected(exposures(60, effect=0.4)))
        assert found.metrics[0].effect.low is not None
        assert found.verdict.kind == "not enough yet"
        assert "50 learners" in found.verdict.headline

    def test_a_test_to_be_read_once_is_not_read_before_its_end(self):
        rows = exposures(900, effect=0.2)
        early = report_ab(collected(rows), planned=FIXED)
        assert early.verdict.kind == "not enough yet"
        assert "2,000" in early.verdict.headline
        end = report_ab(collected(rows), planned=replace(FIXED, learners=900))
        assert end.verdict.kind == "better"
        assert end.verdict.by == "fixed"

    def test_at_the_planned_end_without_a_difference(self):
        rows = exposures(400, seed=2)
        planned = PlannedTest("helpful", 0.15, 400, 1400, 1.3)
        found = report_ab(collected(rows), planned=planned, margin=0.01)
        assert found.verdict.kind == "not enough yet"
        assert "As many learners as planned have come" in found.verdict.reasons[1]

    def test_an_assignment_that_went_wrong_is_not_to_be_trusted(self):
        found = report_ab(collected(exposures(900, effect=0.2, first_share=0.42)))
        assert found.verdict.kind == "broken"
        assert found.verdict.headline == "Do not trust this test."
        meant = experiment(ratio=(0.42, 0.58))
        assert (
            report_ab(collected(exposures(900, effect=0.2, first_share=0.42), meant)).verdict.kind
            == "better"
        )

    def test_learners_who_see_both_arms(self):
        rows = exposures(900, effect=0.2)
        crossing = {f"l{n}" for n in range(5)}
        some = [
            replace(row, arm=ARMS[int(row.id[1:]) % 2]) if row.learner in crossing else row
            for row in rows
        ]
        found = report_ab(collected(some))
        assert 0 < found.crossed <= 5
        assert found.verdict.kind == "better"
        assert any("shown both arms" in each for each in found.cautions)
        many = [replace(row, arm=ARMS[int(row.id[1:]) % 2]) for row in rows]
        assert report_ab(collected(many)).verdict.kind == "broken"

    @pytest.mark.parametrize(("learners", "kind"), [(9, "better"), (10, "broken")])
    def test_one_learner_of_a_hundred_may_see_both(self, learners: int, kind: str):
        rows = exposures(900, effect=0.2)
        assigned = {row.learner: (row.arm, None) for row in rows}
        turned = set(list(assigned)[:learners])
        some = [
            replace(row, arm=ARMS[1 - ARMS.index(row.arm)]) if row.learner in turned else row
            for row in rows
        ]
        found = report_ab(collected(some, learners=assigned), moments=0)
        assert found.crossed == learners
        assert found.verdict.kind == kind

    def test_an_empty_arm(self):
        few = [replace(row, arm="old") for row in exposures(8)]
        assert report_ab(collected(few)).verdict.kind == "not enough yet"
        many = [replace(row, arm="old") for row in exposures(50)]
        assert report_ab(collected(many)).verdict.kind == "broken"

    def test_one_exposure(self):
        found = report_ab(collected([Exposure("1", "a", "old", "grammar", START)]))
        assert found.verdict.kind == "not enough yet"
        assert found.moments == ()

    def test_outcomes_that_nobody_asked_for_are_not_a_share_of_zero(self):
        rows = [replace(row, fixed=None) for row in exposures(300)]
        assert report_ab(collected(rows)).metrics[2].effect.arms[0].value is None
        rows[0] = replace(rows[0], fixed=True)
        assert report_ab(collected(rows)).metrics[2].effect.arms[1].value is not None

    def test_nobody_has_rated(self):
        rows = [replace(row, helpful=None, stars=None) for row in exposures(300)]
        found = report_ab(collected(rows))
        assert found.verdict.headline == "Not enough yet: an arm has no values."
        assert found.metrics[2].effect.low is not None


class TestGuardrails:
    def test_errors_stop_the_arm_that_makes_them_whatever_is_better(self):
        rows = exposures(900, effect=0.3, errors=(0.005, 0.08))
        found = report_ab(collected(rows))
        assert found.verdict.kind == "stop"
        assert found.verdict.harmful == "new"
        assert "requests without an answer" in found.verdict.reasons[0]
        turned = report_ab(collected(exposures(900, effect=0.3, errors=(0.08, 0.005))))
        assert turned.verdict.harmful == "old"

    def test_answers_that_cannot_be_read(self):
        rows = [
            replace(
                row,
                status="invalid_json" if row.arm == "new" and int(row.id[1:]) % 9 == 0 else "ok",
            )
            for row in exposures(900)
        ]
        assert report_ab(collected(rows)).verdict.kind == "stop"
        assert (
            report_ab(collected(rows), limits=AbLimits(invalid_json_rate=0.3)).verdict.kind
            != "stop"
        )

    def test_a_better_arm_that_is_not_shown_to_be_harmless_yet(self):
        found = report_ab(collected(exposures(900, effect=0.2)), limits=AbLimits(error_rate=1e-4))
        assert found.verdict.kind == "better"
        assert (
            found.verdict.reasons[1] == "Not shown to be harmless yet: requests without an answer."
        )

    @pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
    def test_a_limit_that_is_none(self, limit: float):
        with pytest.raises(InputError, match="Permitted is between 1 and 100"):
            AbLimits(slower=limit)

    def test_slow_answers(self):
        rows = exposures(900, slow=(1, 2.2))
        found = report_ab(collected(rows))
        assert found.verdict.kind == "stop"
        assert "times the other arm's" in found.verdict.reasons[0]
        assert report_ab(collected(rows), limits=AbLimits(slower=4)).verdict.kind != "stop"
        both = report_ab(collected(exposures(900)), limits=AbLimits(p95_seconds=0.5)).verdict
        assert both.kind == "stop"

    def test_equal_arms_are_fine_and_few_learners_say_nothing(self):
        found = report_ab(collected(exposures(2500, errors=(0.002, 0.002))))
        assert [each.state for each in found.guardrails] == ["fine"] * 3
        few = report_ab(collected(exposures(30, errors=(0, 1))))
        assert [each.state for each in few.guardrails] == ["not enough yet"] * 3

    def test_p95_lies_in_its_interval(self):
        """Of equal log-normal arms the ratio is 1."""
        inside = 0
        for seed in range(40):
            guard = report_ab(collected(exposures(500, seed=seed)), moments=0).guardrails[0]
            assert guard.low is not None
            assert guard.high is not None
            inside += guard.low <= 1 <= guard.high
        assert inside == 40

    def test_all_of_them_together_err_as_often_as_one(self):
        seen = collected(exposures(600, errors=(0.02, 0.03)))
        guard = report_ab(seen, moments=0).guardrails[1]
        looking = Looking(0.05 / 3, 2500.0)
        alone = effect_of(learner_sums(seen, (seen.status == 1).astype(float)), looking)
        assert (guard.low, guard.high) == (alone.sequence_low, alone.sequence_high)

    def test_one_slow_learner_is_no_slow_arm(self):
        rows = exposures(400)
        rows += [
            Exposure(f"x{n}", "slow", "new", "grammar", START + n, 1e6, helpful=True)
            for n in range(300)
        ]
        assert report_ab(collected(rows)).guardrails[0].state != "harm"


class TestTasks:
    def test_p_values_are_adjusted_for_how_many_there_are(self):
        found = report_ab(collected(exposures(600, effect=0.1)))
        ps = [each.effect.p for each in found.tasks.tasks]
        assert [each.adjusted_p for each in found.tasks.tasks] == holm(ps)
        others = [each.effect.always_valid_p for each in found.metrics[1:]]
        assert [each.adjusted_always_valid_p for each in found.metrics[1:]] == holm(others)
        assert found.metrics[0].adjusted_p == found.metrics[0].effect.p
        ps = [each.effect.always_valid_p for each in found.tasks.tasks]
        assert [each.adjusted_always_valid_p for each in found.tasks.tasks] == holm(ps)
        assert [each.adjusted_p for each in found.metrics[1:]] == holm(
            [each.effect.p for each in found.metrics[1:]]
        )

    def test_a_difference_of_what_was_asked_for_is_told(self):
        """Both models are equal in each task, and the new one's learners choose the easy one."""
        rows = exposures(
            1500,
            pick=lambda random, arm: int(random.random() < (0.2, 0.8)[arm]),
            chance=lambda arm, task: (0.4, 0.8)[task] - 0.03 * arm,
        )
        found = report_ab(collected(rows))
        assert found.verdict.kind == "better"
        assert found.tasks.equal_shares == pytest.approx(-0.03, abs=0.03)
        assert any("The sign turns" in each for each in found.cautions)

    def test_sound_tests_are_not_warned_of(self):
        told = [
            each
            for seed in range(15)
            for each in report_ab(collected(exposures(500, seed=seed)), moments=0).cautions
        ]
        assert told == []


def test_a_learner_counts_where_assigned_whatever_was_shown():
    """Intention to treat, by hand: half of the new arm's learners were shown the old model later."""
    rows = [
        replace(row, arm="old") if int(row.learner[1:]) % 2 and int(row.id[1:]) % 3 else row
        for row in exposures(300, effect=0.2)
    ]
    assigned = {row.learner: row.arm for row in exposures(300, effect=0.2)}
    seen = collected(rows, learners={name: (arm, None) for name, arm in assigned.items()})
    found = report_ab(seen, moments=0)
    by_hand = {
        arm: np.mean([bool(row.helpful) for row in rows if assigned[row.learner] == arm])
        for arm in ARMS
    }
    assert found.metrics[0].effect.difference == pytest.approx(by_hand["new"] - by_hand["old"])
    slow = [replace(row, latency_ms=9e4 if row.arm == "new" else 1.0) for row in rows]
    both = collected(slow, learners={name: (arm, None) for name, arm in assigned.items()})
    assert report_ab(both, moments=0).guardrails[0].values[0] == pytest.approx(0.001)


def test_ratings_that_one_arm_gets_more_often_are_told():
    rows = [
        replace(row, helpful=None, stars=None) if row.arm == "new" and int(row.id[1:]) % 2 else row
        for row in exposures(900)
    ]
    assert any(
        "Learners rate the answers of new less often" in each
        for each in report_ab(collected(rows)).cautions
    )


def test_values_from_before_that_know_the_arm_are_told():
    rows = exposures(600)
    arms = {row.learner: row.arm for row in rows}
    random = np.random.default_rng(0)
    learners = {name: (arm, random.normal() + (arm == "new")) for name, arm in arms.items()}
    found = report_ab(collected(rows, learners=learners))
    assert any("were they taken before anybody was assigned" in each for each in found.cautions)


def test_time_of_days_and_zones_changes_nothing():
    rows = exposures(300)
    moved = report_ab(collected([replace(row, time=row.time + 7 * 3600) for row in rows]))
    here = report_ab(collected(rows))
    assert replace(moved, first=0, last=0, moments=()) == replace(here, first=0, last=0, moments=())


def test_the_order_of_rows_changes_nothing():
    rows = exposures(300)
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    assert said(report_ab(collected(shuffled))) == said(report_ab(collected(rows)))


def test_the_last_moment_is_the_report():
    found = report_ab(collected(exposures(400, effect=0.1)))
    assert found.moments[-1].effect == found.metrics[0].effect
    assert found.moments[-1].learners == found.learners
    assert [each.learners for each in found.moments] == sorted(
        each.learners for each in found.moments
    )


def test_a_plan_for_another_metric_is_refused():
    with pytest.raises(InputError, match="decides the test"):
        report_ab(collected(exposures(10)), planned=replace(FIXED, metric="stars"))
    with pytest.raises(InputError, match="margin"):
        report_ab(collected(exposures(10)), margin=float("nan"))


def test_the_report_of_a_test_stays_as_it_is():
    """LEXITRAIN_WRITE_GOLDEN=1 writes it anew, where it is meant to change."""
    rows = exposures(400, effect=0.12, seed=11, errors=(0.01, 0.02))
    arms = {row.learner: row.arm for row in rows}
    random = np.random.default_rng(5)
    learners = {
        name: (arm, None if random.random() < 0.3 else float(random.normal()))
        for name, arm in arms.items()
    }
    planned = PlannedTest("helpful", 0.1, 900, 3100, 1.3)
    document = report_ab(collected(rows, experiment(planned), learners), moments=4).to_json()
    if os.environ.get("LEXITRAIN_WRITE_GOLDEN"):
        GOLDEN.write_text(json_text(document, indent=1) + "\n", encoding="utf-8")
    kept = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert_alike(json.loads(json_text(document)), kept)


def assert_alike(one: object, other: object, where: str = "") -> None:
    """Equal but for the last digits of numbers, which differ between machines."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert list(one) == list(other), where
        for key in one:
            assert_alike(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert isinstance(other, list)
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_alike(*pair, f"{where}[{place}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-7, abs=1e-12), where
    else:
        assert one == other, where


_ROWS = st.lists(
    st.builds(
        Exposure,
        id=st.integers(0, 200).map(str),
        learner=st.sampled_from("abcdefgh"),
        arm=st.sampled_from(ARMS),
        task=st.sampled_from(["grammar", "fluency", "<b>"]),
        time=st.floats(START, START + 1e6),
        latency_ms=st.none() | st.floats(0, 1e6),
        status=st.sampled_from(["ok", "error", "invalid_json"]),
        helpful=st.none() | st.booleans(),
        stars=st.none() | st.integers(1, 5),
        corrected=st.booleans(),
        fixed=st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row.id,
)


@settings(max_examples=120, deadline=None)
@given(_ROWS, st.sampled_from(["helpful", "stars", "fixed", "corrected", "seconds"]))
def test_whatever_was_seen_there_is_a_report(rows: list[Exposure], metric: str):
    found = report_ab(collected(rows, experiment(metrics=(metric,))), moments=3)
    assert found.verdict.kind in {"broken", "not enough yet"}
    json.loads(json_text(found.to_json()))
