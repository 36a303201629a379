"""The benchmark of the levers: when a curve reaches a loss, which rate wins, and a small one from end to end."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks.levers import LEVERS, Bench, bench_in, measure, raced, step_of_loss

from lexitrain.recipe import load_recipe


def test_the_step_of_a_loss():
    curve = [(0, 4.0), (10, 2.0), (20, 1.0), (30, 1.5)]
    assert step_of_loss(curve, 4.5) == 0
    assert step_of_loss(curve, 3.0) == 5
    assert step_of_loss(curve, 1.5) == 15
    assert step_of_loss(curve, 1.0) == 20
    assert step_of_loss(curve, 0.9) is None


def test_the_race_goes_on_while_its_best_rate_is_at_an_end(monkeypatch: pytest.MonkeyPatch):
    base = load_recipe("demo").optimizer.learning_rate
    for wanted in (base, 4 * base, base / 8):

        def curve(*args: object, wanted: float = wanted) -> list[tuple[int, float]]:
            rate = args[2]
            assert isinstance(rate, float)
            return [(1, math.nan if rate > 8 * base else abs(math.log(rate / wanted)))]

        monkeypatch.setattr(Bench, "curve", curve)
        best, losses = raced(Bench(Path(), Path(), 20, 0.25, ()), "default")
        assert best == pytest.approx(wanted)
        assert min(losses) < best < max(losses)


def test_every_lever_is_a_recipe_and_changes_something():
    bench = Bench(Path(), Path(), 20, 0.25, ())
    recipes = {name: bench.recipe(name, 1e-3, 1) for name in LEVERS}
    assert all(recipes[name] != recipes["default"] for name in LEVERS if name != "default")


@pytest.mark.slow
def test_a_small_one_goes_on_where_it_was(tmp_path: Path):
    bench = bench_in(tmp_path, 100, 0.25, ("validation.limit=8", "lora.rank=4"))
    found = measure(bench, ["default", "pissa"], 1)
    assert found["levers"]["default"]["reaches"] == [1.0]
    assert found["levers"]["pissa"]["loss"]["mean"] < found["levers"]["pissa"]["curves"][0][0][1]
    runs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")}
    assert measure(bench, ["default", "pissa"], 1) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")} == runs
