"""Two recipes side by side: the table, the claims in it, and shares that sum to the difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.planning.versus.comparison import compare_plans
from lexitrain.recipe.yaml_file import load_recipe
from tests.planning.estimate.test_plan import ON_NANO, planned


@pytest.mark.slow
def test_versus_tells_what_each_change_does():
    old = load_recipe("slow", ON_NANO)
    new = load_recipe("notebook", ON_NANO)
    found = compare_plans(old, new, planned)
    document = found.to_json()
    saved = found.a.hours.expected - found.b.hours.expected
    assert sum(each.hours for each in found.levers) == pytest.approx(saved)
    memory = (found.a.memory.peak - found.b.memory.peak) / 1e9
    assert sum(each.memory_gb for each in found.levers) == pytest.approx(memory, abs=1e-9)
    rows = {row["what"]: row for row in document["improvement"]["table"]}
    assert list(rows) == [
        "model", "sequence length", "LoRA rank", "batch", "accumulation", "epochs", "optimizer",
        "training time", "GPU memory", "checkpoints",
    ]  # fmt: skip
    assert rows["epochs"]["verdict"] == "holds"
    assert rows["LoRA rank"]["verdict"] == "does not hold"
    assert rows["LoRA rank"]["why"]
    assert not rows["epochs"]["why"]
    assert "frozen base" in rows["LoRA rank"]["why"]
    assert rows["model"]["claim"] == ""  # both are nano here


def test_a_change_of_ones_own_has_no_claim_and_equal_settings_have_no_gain():
    old = load_recipe("demo", ["schedule.epochs=2"])
    found = compare_plans(old, load_recipe("demo"), planned)
    rows = {row.what: row for row in found.rows}
    assert (rows["epochs"].old, rows["epochs"].new) == ("2", "1")
    assert rows["epochs"].improvement.endswith("less time")
    assert not any(row.claim or row.why for row in found.rows)
    assert all(row.verdict == "" for row in found.rows)
    assert rows["model"].improvement == ""
    assert rows["training time"].improvement.endswith("× as fast")
    assert [lever.name for lever in found.levers] == ["epochs"]


@pytest.mark.slow
def test_of_a_users_own_settings_nothing_is_claimed_and_what_they_leave_open_is_told(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "model: {base: nano}\ndata: {max_length: 768}\nlora: {rank: 48}\n"
        "schedule: {epochs: 7}\noptimizer: {name: paged_adamw_32bit}\n"
    )
    new = load_recipe("notebook", ON_NANO)
    found = compare_plans(load_recipe(mine), new, planned)
    assert not any(row.claim for row in found.rows)
    defaults = dict(found.defaults)
    assert defaults["lora.alpha"] == 32
    assert "lora.rank" not in defaults
    assert "checkpoints.every" not in defaults
    assert found.to_json()["from_defaults"]["step.layout"] == "tree"
    shipped = compare_plans(load_recipe("slow", ON_NANO), new, planned)
    assert any(row.claim for row in shipped.rows)
    assert shipped.defaults == ()
