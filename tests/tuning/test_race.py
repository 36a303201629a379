"""The race as a design: who runs next follows from what is done, whatever was interrupted."""

from __future__ import annotations

import pytest

from lexitrain.recipe import load_recipe
from lexitrain.tuning.designs.race import ALPHA, BATCH, RATE, Race, largest_race, race_of
from lexitrain.tuning.designs.unit import Outcome, Unit

DEMO = load_recipe(
    "demo", ["optimizer.learning_rate=0.004", "lora.alpha=32", "step.effective_batch=24"]
)


def outcome(unit: Unit, loss: float | None) -> Outcome:
    return Outcome(unit, "000", "failed" if loss is None else "finished", loss)


def run(race: Race, loss_of) -> tuple[list[list[Unit]], dict[str, Outcome]]:
    """Run all that is due, one batch after the other; returns the batches."""
    done: dict[str, Outcome] = {}
    batches: list[list[Unit]] = []
    while due := race.due(done):
        batches.append(due)
        done |= {each.key: outcome(each, loss_of(each)) for each in due}
    return batches, done


def loss_of(unit: Unit) -> float:
    """Best at a rate of 0.002, a scale of 8, and 12 samples a step; less with more samples."""
    rate, alpha, batch = (
        unit.changes.get(name, own) for name, own in ((RATE, 0.004), (ALPHA, 32.0), (BATCH, 24))
    )
    return abs(rate - 0.002) * 100 + abs(alpha - 128) / 100 + abs(batch - 12) / 100 + 1 / unit.share


def test_the_best_third_goes_on_and_the_recipe_itself_runs_to_its_end() -> None:
    race = race_of(DEMO, 333)
    assert race.sizes == [18, 6, 3]
    batches, done = run(race, loss_of)
    assert [len(batch) for batch in batches] == [18, 6, 3]
    assert [{round(unit.share, 3) for unit in batch} for batch in batches] == [
        {0.111},
        {0.333},
        {1},
    ]
    first = sorted(batches[0], key=loss_of)
    assert [unit.changes for unit in batches[1]] == [unit.changes for unit in first[:6]]
    assert [unit.changes for unit in batches[2]] == [*(unit.changes for unit in first[:2]), {}]
    assert len({unit.run_key for batch in batches for unit in batch}) == 18
    assert race.due(done) == []


def test_what_is_done_is_not_due_again_and_a_larger_race_keeps_it() -> None:
    race = race_of(DEMO, 333, 7)
    assert race.sizes == [7, 3, 2]
    _, done = run(race, loss_of)
    half = dict(list(done.items())[:4])
    assert [each.key for each in race.due(half)] == list(done)[4:7]
    larger = race_of(DEMO, 333, 12)
    assert len(larger.due(done)) == 5
    assert all(each.share < 0.2 for each in larger.due(done))


def test_the_recipe_itself_is_not_run_twice_where_it_wins() -> None:
    batches, _ = run(race_of(DEMO, 333, 7), lambda unit: float(bool(unit.changes)) + unit.share)
    assert [len(batch) for batch in batches] == [7, 3, 2]
    assert [unit.changes for unit in batches[2]].count({}) == 1


def test_candidates_that_fail_leave_the_race_and_it_goes_on() -> None:
    race = race_of(DEMO, 333, 9)
    batches, done = run(
        race, lambda unit: None if unit.changes.get(RATE) == 0.008 else loss_of(unit)
    )
    assert all(unit.changes.get(RATE) != 0.008 for batch in batches[1:] for unit in batch)
    assert race.due(done) == []
    batches, _ = run(race, lambda _: None)
    assert [len(batch) for batch in batches] == [9, 1]  # the recipe itself is tried to its end


def test_every_cell_of_the_grid_comes_once_and_few_are_spread_over_it() -> None:
    race = race_of(DEMO, 333)
    cells = {tuple(sorted(each.items())) for each in race.candidates}
    assert len(cells) == len(race.candidates) == 4 * 3 * 3
    first = race.candidates[:12]
    for name, own in ((RATE, 0.004), (ALPHA, 32.0), (BATCH, 24)):
        assert {each.get(name, own) for each in first} == set(race.axes[name])


def test_what_the_recipes_limits_do_not_allow_is_no_candidate() -> None:
    fixed = load_recipe(
        "demo",
        ["step.effective_batch=24", "step.micro_batch=24", "optimizer.learning_rate=0.9"],
    )
    race = race_of(fixed, 333)
    assert {each.get(BATCH, 24) for each in race.candidates} == {24, 48}
    assert max(each.get(RATE, 0.9) for each in race.candidates) == 0.9


def test_a_rung_lies_beyond_the_warmup_and_has_steps_to_judge_by() -> None:
    assert race_of(DEMO, 333).shares == [1 / 9, 1 / 3, 1]
    assert race_of(DEMO, 40).shares == [1 / 3, 1]
    assert race_of(DEMO, 8).shares == [1]
    slow = load_recipe("demo", ["schedule.warmup=0.1"])
    assert race_of(slow, 333).shares == [1 / 3, 1]


def test_a_race_is_made_to_fit() -> None:
    race = race_of(DEMO, 333, 100)
    fitting = largest_race(race, lambda each: sum(each.sizes) <= 12, 36)
    assert fitting is not None
    assert fitting.sizes == [7, 3, 2]
    assert largest_race(race, lambda each: sum(each.sizes) <= 3, 36) is None


def test_the_price_counts_what_each_rung_adds() -> None:
    """In runs: 18 ninths, 6 times two ninths, twice two thirds, the recipe itself from the first rung to its end."""
    stages = race_of(DEMO, 333).stages
    assert sum(each.count * each.share for each in stages) == pytest.approx(
        18 / 9 + 6 * 2 / 9 + 2 * 2 / 3 + 8 / 9
    )
    (only,) = race_of(DEMO, 8, 4).stages
    assert (only.count, only.share) == (4, 1)
