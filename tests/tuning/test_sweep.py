"""Grids: what `--sweep` accepts, refuses, and lays out."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import InputError, RecipeError
from lexitrain.recipe import load_recipe
from lexitrain.tuning.designs.sweep import changed, sweep_of
from lexitrain.tuning.designs.unit import Outcome
from lexitrain.tuning.result import best_of

DEMO = load_recipe(
    "demo", ["optimizer.learning_rate=0.004", "lora.alpha=32", "step.effective_batch=24"]
)


def test_every_value_has_a_run_before_a_second_seed_begins() -> None:
    sweep = sweep_of(DEMO, ["schedule.epochs=1,2", "optimizer.clip=0.5,1"], 2)
    units = sweep.due({})
    assert [unit.seed for unit in units] == [42] * 4 + [43] * 4
    assert units[1].changes == {"schedule.epochs": 1, "optimizer.clip": 1.0}
    done = {unit.key: Outcome(unit, "000", "finished", 1.0) for unit in units[:5]}
    assert sweep.due(done) == units[5:]


def test_alpha_follows_a_swept_rank_unless_it_is_swept_too() -> None:
    sweep = sweep_of(DEMO, ["lora.rank=4,48"], 1)
    assert sweep.scale == 2
    assert [changed(DEMO, point).lora.alpha for point in sweep.points] == [8, 96]
    both = sweep_of(DEMO, ["lora.rank=4,48", "lora.alpha=32"], 1)
    assert both.scale is None
    assert [changed(DEMO, point).lora.alpha for point in both.points] == [32, 32]


@pytest.mark.parametrize(("losses", "best"), [((0.3, 0.2), 48), ((0.2, 0.3), 16)])
def test_what_a_sweep_found_is_held_against_the_recipes_own_values(
    losses: tuple[float, float], best: int, tmp_path: Path
) -> None:
    """Its rank is 16, with the scale that it has."""
    sweep = sweep_of(DEMO, ["lora.rank=16,48"], 2)
    done = [
        Outcome(unit, f"{number:03d}", "finished", losses[number % 2])
        for number, unit in enumerate(sweep.due({}))
    ]
    found = best_of(sweep, done, tmp_path)
    assert found is not None
    assert (found.changes["lora.rank"], found.loss) == (best, pytest.approx(0.2))
    assert found.baseline == pytest.approx(losses[0])
    others = best_of(sweep_of(DEMO, ["lora.rank=4,48"], 2), done, tmp_path)
    assert others is not None
    assert others.baseline is None


def test_values_are_written_as_in_set() -> None:
    sweep = sweep_of(
        DEMO, ["lora.targets=[q_proj],[q_proj, v_proj]", "optimizer.learning_rate=1e-3,0.002"], 1
    )
    assert [changed(DEMO, each).lora.targets for each in sweep.points[::2]] == [
        ("q_proj",),
        ("q_proj", "v_proj"),
    ]
    assert [each["optimizer.learning_rate"] for each in sweep.points[:2]] == [0.001, 0.002]


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("lora.ranks=4", r"Unknown key lora\.ranks"),
        ("lora.rank=4,no", r"lora\.rank"),
        ("lora.rank=0", r"greater than or equal to 1"),
        ("lora=4", r"lora"),
        ("lora={rank: 4}", "is a section"),
        ("lora.rank", "takes field=value"),
        ("lora.rank=4,,8", "takes field=value"),
        ("lora.rank=4,4", "given twice"),
        ("seed=1,2", "Seeds are no setting"),
        ("step.layout=tree,row", r"step\.layout"),
        ("checkpoints.keep=1,2", "a study sets"),
    ],
)
def test_what_is_no_field_or_no_value_of_it_is_refused_by_the_recipe(
    option: str, what: str
) -> None:
    with pytest.raises(InputError, match=what) as caught:
        sweep_of(DEMO, [option], 1)
    assert "--set" not in str(caught.value)


def test_combinations_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(RecipeError, match="cannot supervise all tokens"):
        sweep_of(DEMO, ["step.layout=packed,tree", "step.loss=all_tokens"], 1)
    with pytest.raises(InputError, match="swept twice"):
        sweep_of(DEMO, ["lora.rank=4", "lora.rank=8"], 1)
