"""What pages say without a number holds in the saved results: all the same, all named first."""

from __future__ import annotations

import pytest
from benchmarks.tables import result

from benchmarks import known_layers


def test_the_killed_build_ended_in_the_same() -> None:
    found = result("build_killed")
    assert found["passed"]
    assert found["different"] == []
    assert found["answers_given_twice"] == 0
    assert len(found["kills"]) == 10
    compared = set(found["compared"])
    assert {"losses of metrics.jsonl", "run/adapter/adapter_model.safetensors"} <= compared
    assert {f"report.html, {section}" for section in ("data", "export", "scores")} <= compared
    for kind in ("data/", "run/evaluation/", "run/export/"):
        assert any(each.startswith(kind) for each in compared)


def test_each_planted_slowness_was_named_first_with_its_gain() -> None:
    plants = result("doctor")["plants"]
    assert len(plants) == 6
    for plant in plants.values():
        assert plant["passed"]
        assert plant["named_first"]
        assert plant["off"] <= 0.25


def test_memory_of_known_layers_is_counted_as_it_was_saved() -> None:
    """Nothing in it depends on the machine."""
    saved = result("known_layers")
    assert saved["trained_tensors"] == len(known_layers.fake(own=False).adapter_sizes())
    for cut, found in zip(known_layers.CUTS, saved["cuts"], strict=True):
        assert known_layers.compared(*cut) == pytest.approx(found, rel=1e-3)
