"""The simulation of A/B tests: what is saved has met its targets, docs/ab.md tells it, and it still runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.paths import ROOT

from benchmarks import ab_simulation
from lexitrain.abtest.statistics.effects import Looking

SAVED = json.loads(ab_simulation.RESULT.read_text(encoding="utf-8"))


def test_every_target_was_met_by_2000_experiments():
    assert SAVED["experiments"] == SAVED["learners"] == 2000
    for world in SAVED["false_alarms"].values():
        assert world["meets_target"]
        assert world["sequence"]["share"] <= 0.05
        assert world["sequence"]["experiments"] == 2000
    for found in SAVED["power"].values():
        assert abs(found["found"]["share"] - found["promised"]) <= 0.03
    assert SAVED["assignment"]["meets_target"]
    for found in SAVED["pre_period"].values():
        assert found["meets_target"]
        assert abs(found["bias"]) < 4 * found["bias_error"]
        assert found["theory"] is None or abs(found["width"] / found["theory"] - 1) <= 0.1


def test_the_document_says_what_was_found():
    text = (ROOT / "docs" / "ab.md").read_text(encoding="utf-8")
    alarms = SAVED["false_alarms"]
    usual = alarms["learners come all the time"]
    shares = [100 * each["sequence"]["share"] for each in alarms.values()]
    ratio, width = SAVED["assignment"], SAVED["pre_period"]["known of all"]
    always = ratio["half_to_half"]["chi_squared_read_always"]["share"]
    for told in (
        f"{100 * usual['sequence']['share']:.1f} % ({min(shares):.1f} to {max(shares):.1f} %",
        f"| {100 * usual['interval_for_one_look_looked_at_always']['share']:.0f} % |",
        f"| {100 * SAVED['power']['fixed']['found']['share']:.1f} % |",
        f"| {100 * SAVED['power']['sequential']['found']['share']:.1f} % |",
        f"| {100 * ratio['52_to_48']['read_once']['share']:.1f} % |",
        f"| {100 * ratio['half_to_half']['read_once']['share']:.1f} %; {100 * always:.1f} % |",
        f"| {width['width']:.3f} against {width['theory']:.3f} |",
    ):
        assert told in text, told


@pytest.mark.parametrize("name", ab_simulation.WORLDS)
def test_all_looks_at_once_are_what_the_product_says_at_each(name: str):
    seen = ab_simulation.drawn(np.random.default_rng(7), ab_simulation.WORLDS[name])
    assert ab_simulation.agrees(seen, 5, Looking(0.05, 2500.0)) < 1e-5
