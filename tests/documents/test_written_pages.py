"""Pages whose content is made of something else: the commands, and a saved result."""

from __future__ import annotations

import importlib.util
import json
import re
from types import ModuleType
from typing import Any

import pytest

from lexitrain.cli.main import COMMANDS
from tests.paths import ROOT

PLANS = json.loads((ROOT / "benchmarks/results/plan-t4.json").read_text(encoding="utf-8"))["plans"]
ROW = re.compile(
    r"^\| `(\w+)` \| ([\d.]+) \(([\d.]+)–([\d.]+)\) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", re.M
)


def made_by(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_commands_is_what_they_say() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == made_by("make_commands").page(), "run: python docs/make_commands.py"


def test_the_page_of_the_commands_has_all_of_them_with_their_options() -> None:
    page = made_by("make_commands").page()
    headings = re.findall(r"^## lexitrain (.+)$", page, re.MULTILINE)
    assert [each.split()[0] for each in headings if each.split()[0] in COMMANDS]
    assert {each.split()[0] for each in headings} == set(COMMANDS)
    assert {"data prepare", "data lengths", "runs list", "runs verify", "runs prune"} <= set(
        headings
    )
    train = page.partition("## lexitrain train\n")[2].partition("\n## ")[0]
    assert "| `--stop-after TIME` |" in train
    assert "Exit code 4" in train
    margin = page.partition("## lexitrain compare\n")[2].partition("\n## ")[0]
    assert "(*default: 0.05*)" in margin


@pytest.mark.parametrize("page", ["docs/colab.md", "docs/vi/colab.md"])
def test_minutes_that_a_disconnect_costs_follow_from_the_saved_plans(page: str) -> None:
    rows = ROW.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [row[0] for row in rows] == ["fast", "best", "notebook", "slow"]
    for name, expected, low, high, every, most, most_at_high in rows:
        plan: dict[str, Any] = PLANS[name]
        hours = plan["hours"]
        assert (float(expected), float(low), float(high)) == (
            pytest.approx(hours["expected"], abs=0.0051),
            pytest.approx(hours["low"], abs=0.0051),
            pytest.approx(hours["high"], abs=0.0051),
        )
        from lexitrain import load_recipe

        assert int(every) == load_recipe(name).checkpoints.every
        parts = plan["hours_by_part"]
        minutes = (parts["training"] + parts["validation"]) * 60 * int(every) / plan["steps"]
        assert float(most) == pytest.approx(minutes, abs=0.051)
        assert float(most_at_high) == pytest.approx(
            minutes * hours["high"] / hours["expected"], abs=0.051
        )
