"""The comparison: equal losses in other people's trainers, turns, ratios."""

from __future__ import annotations

import io
import json

import pytest
from benchmarks.compare.__main__ import CPU, chosen_parts
from benchmarks.compare.comparison import Comparison, Part, compared_losses, ratios
from benchmarks.compare.competitors import COMPETITORS
from benchmarks.compare.turns import Turns
from benchmarks.compare.work import Work

from lexitrain.recipe.yaml_file import load_recipe

pytest.importorskip("dashscope")


def test_a_worker_takes_as_many_steps_as_it_is_told():
    commands = io.StringIO('{"steps": 2}\n{"steps": 1, "memory": true}\n{"steps": 0}\n')
    replies = io.StringIO()
    turns = Turns(commands, replies)
    taken = 0
    while turns.begin():
        turns.end(loss=float(taken), samples=24, supervised=10, tokens=100)
        taken += 1
    first, one, second, two, third = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert taken == 3
    assert first == second == third == {"ready": True}
    assert [step["loss"] for step in one["steps"]] == [0.0, 1.0]
    assert sum(step["seconds"] for step in one["steps"]) == pytest.approx(one["seconds"], abs=1e-2)
    assert "peak_bytes" not in one
    assert two["peak_bytes"] == 0


def test_a_closed_pipe_ends_a_worker():
    assert not Turns(io.StringIO(""), io.StringIO()).begin()


def test_every_competitor_names_a_recipe_that_its_overrides_fit():
    for competitor in COMPETITORS.values():
        recipe = load_recipe(competitor.recipe, competitor.overrides)
        assert recipe.lora.targets == load_recipe("fast").lora.targets


def row(
    speed: float,
    turns: list[float],
    losses: list[float],
    same: bool = True,
    seconds: dict[str, float] | None = None,
) -> dict:
    return {
        **({"seconds_of_step": seconds} if seconds else {}),
        "samples_per_second": speed,
        "samples_per_second_by_turn": turns,
        "peak_activation_mb": 100 / speed,
        "losses": losses,
        "same_samples": same,
    }


def test_ratios_of_different_steps_are_over_all_of_them_and_paired_by_round():
    rows = {
        "fast": row(4.0, [4.0, 5.0], [2.0, 1.0]),
        "notebook": row(0.5, [0.5], [3.0]),
        "trl": {"what": "", "failed": "no such package"},
    }
    found = ratios(rows)
    assert list(found) == ["fast / notebook"]
    assert found["fast / notebook"] == {
        "samples_per_second": 8.0,
        "lowest": 8.0,
        "highest": 8.0,
        "same_steps": 0,
        "peak_activation": 8.0,
    }


def test_ratios_are_of_the_steps_that_both_took_where_they_hold_the_same_samples():
    """The yardstick's other steps are short: they must not make it look faster."""
    ours = {"1": 6.0, "2": 4.0, "3": 1.0, "4": 1.0}
    rows = {
        "fast": row(8.0, [8.0], [2.0], seconds=ours),
        "trainer": row(2.0, [2.0], [2.0], seconds={"1": 12.0, "2": 12.0}),
        "trl": row(2.0, [2.0], [2.0], same=False, seconds={"1": 12.0, "2": 12.0}),
        "notebook": row(0.5, [0.5], [3.0], seconds={"0": 48.0}),
    }
    found = ratios(rows)
    assert found["fast / trainer"] == {
        "samples_per_second": 2.4,
        "lowest": 2.0,
        "highest": 3.0,
        "same_steps": 2,
        "peak_activation": 4.0,
    }
    assert found["fast / trl"]["samples_per_second"] == 4.0
    assert found["fast / notebook"]["samples_per_second"] == 16.0


def test_competitors_are_chosen_by_name_also_those_that_are_not_in_the_table():
    assert chosen_parts([part.name for part in CPU]) == list(CPU)
    assert chosen_parts(["notebook_engine"]) == [Part("notebook_engine", 1, 1)]
    with pytest.raises(SystemExit, match=r"No competitor nope\. There are: fast,"):
        chosen_parts(["fast", "nope"])


def test_losses_are_compared_where_recipe_and_samples_are_the_same():
    rows = {
        "fast": row(4.0, [4.0], [2.0, 1.0]),
        "trainer": row(2.0, [2.0], [2.0, 1.25]),
        "trl": row(2.0, [2.0], [9.0, 9.0], same=False),
        "notebook": row(1.0, [1.0], [5.0]),
    }
    assert compared_losses(rows) == {
        "fast = trainer": {"steps": 2, "largest_difference": 0.25, "last": [1.0, 1.25]}
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_other_trainers_reach_the_same_losses_on_the_same_samples():
    """Two steps, the second after an update: gradients, rates, decay and clipping are the same too."""
    pytest.importorskip("trl")
    work = Work(shape="nano", steps=3, data="generated")  # all of them are taken
    names = ("fast", "trainer", "trl_same", "trl")
    found = Comparison(work, [Part(name, 1, 2, warm_up=name != "trl") for name in names]).run()
    rows = found["competitors"]
    assert [name for name, each in rows.items() if "failed" in each] == []
    assert set(found["losses"]) == {"fast = trainer", "fast = trl_same", "trainer = trl_same"}
    for pair in found["losses"].values():
        assert pair["steps"] == 3
        assert pair["largest_difference"] < 1e-4
    assert rows["fast"]["layout_tokens_per_step"] < rows["trl_same"]["layout_tokens_per_step"]
    assert rows["trl_same"]["layout_tokens_per_step"] < rows["trainer"]["layout_tokens_per_step"]
    assert all(each["peak_activation_mb"] > 0 for each in rows.values())
    # The step of warm-up is step 0; `trl` has none, and samples of its own.
    assert list(rows["fast"]["seconds_of_step"]) == ["1", "2"]
    assert found["ratios"]["fast / trainer"]["same_steps"] == 2
    assert found["ratios"]["fast / trl"]["same_steps"] == 0
