"""Claims are data: which there are, when they apply, and whether plans bear them out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lexitrain.planning.versus.claims import Claim, claim_about, claims
from lexitrain.planning.versus.gains import GAINS
from lexitrain.recipe.yaml_file import load_recipe

SLOW, NOTEBOOK, FAST, BEST = (load_recipe(name) for name in ("slow", "notebook", "fast", "best"))


def plan(hours: float) -> Any:
    return SimpleNamespace(hours=SimpleNamespace(expected=hours))


def test_each_claim_can_be_judged_and_is_about_the_teams_two_recipes():
    assert len(claims()) == len({claim.row for claim in claims()}) == 9
    for claim in claims():
        assert claim.gain in GAINS
        assert claim.value > 0
        assert claim.is_about(SLOW, NOTEBOOK)
        assert not claim.is_about(NOTEBOOK, SLOW)


@pytest.mark.parametrize(
    ("row", "changes", "applies"),
    [
        ("model", ["model.base=/disk/Mine-1.5B-Instruct/"], True),
        ("model", ["model.base=/disk-1.5B/mine"], False),
        ("sequence length", ["data.max_length=767"], False),
        ("LoRA rank", ["lora.rank=16"], False),
        ("batch", ["step.micro_batch=auto"], False),
        ("optimizer", ["optimizer.name=adamw"], False),
        ("training time", ["name=slower"], False),
        ("training time", ["lora.rank=8"], True),
    ],
)
def test_a_claim_is_about_its_very_change(row: str, changes: list[str], applies: bool):
    found = claim_about(row, load_recipe("slow", changes), NOTEBOOK)
    assert (found is not None) == applies


def test_a_claim_about_results_names_the_recipes():
    assert claim_about("checkpoints", SLOW, FAST) is not None
    assert claim_about("checkpoints", SLOW, BEST) is None
    assert claim_about("accumulation", SLOW, NOTEBOOK) is None


@pytest.mark.parametrize(
    ("hours", "verdict"),
    [
        (4.5, "does not hold"),
        (4.4, "holds"),
        (4.0, "holds"),
        (3.1, "holds"),
        (2.9, "exceeded"),
        (1.4, "exceeded"),
    ],
)
def test_a_claim_holds_within_a_tenth_and_what_is_more_exceeds_it(hours: float, verdict: str):
    claim = Claim("time", {}, {}, "2.5–3×", "times_faster", 2.5, 3.0)
    assert claim.verdict(plan(10.0), plan(hours)) == verdict


def test_a_claim_of_a_range_has_both_ends():
    for claim in claims():
        assert claim.value <= claim.most
        assert ("–" in claim.text) == (claim.value < claim.most), claim.text
