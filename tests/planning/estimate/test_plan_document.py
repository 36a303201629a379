"""The planning page quotes what the benchmark saved."""

from __future__ import annotations

import json

import pytest

from tests.paths import ROOT

README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
PAGE = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
SAVED = json.loads((ROOT / "benchmarks" / "results" / "plan-t4.json").read_text(encoding="utf-8"))

FORESEEN = json.loads((ROOT / "benchmarks" / "results" / "foresight.json").read_text("utf-8"))


@pytest.mark.parametrize("row", FORESEEN["rows"], ids=lambda row: row["configuration"])
def test_what_was_foreseen_and_measured_is_what_was_saved(row):
    line = (
        f"| `{row['configuration'].partition(' ')[2]}` | {row['foreseen_bytes'] / 1e6:.0f} "
        f"| {row['measured_bytes'] / 1e6:.0f} | {row['memory_error']:+.1%} "
        f"| {row['foreseen_seconds']:.2f} | {row['measured_seconds']:.2f} | {row['time_error']:+.1%} |"
    )
    assert line in PAGE


@pytest.mark.parametrize("name", ["slow", "notebook", "fast", "best"])
def test_the_hours_and_gigabytes_are_those_that_were_saved(name: str):
    plan = SAVED["plans"][name]
    hours = plan["hours"]
    row = (
        f"| `{name}` | {hours['expected']:.2f} ({hours['low']:.2f}–{hours['high']:.2f}) | "
        f"{plan['hours_by_part']['training']:.2f} | {plan['memory_gb']['peak']:.2f} GB | "
    )
    assert row in PAGE


@pytest.mark.parametrize("name", ["slow", "notebook"])
def test_what_the_team_observed_stands_beside_the_trainer_that_it_ran(name: str):
    plan, seen = SAVED["usual_trainer"][name], SAVED["observed_by_the_team"][name]
    assert plan["engine"] == "trainer"
    hours, (least, most) = plan["hours"], seen["hours"]
    row = (
        f"| `{name}`, Transformers Trainer | {hours['expected']:.2f} ({hours['low']:.2f}–{hours['high']:.2f}) | "
        f"{plan['hours_by_part']['training']:.2f} | {plan['memory_gb']['peak']:.2f} GB | "
        f"{plan['checkpoint_mb']['kept']:.0f} MB | {least}–{most} h, "
    )
    assert row in PAGE


def test_the_claims_are_those_that_were_judged():
    for row in SAVED["versus"]["slow → notebook"]["improvement"]["table"]:
        if row["claim"]:
            assert f"| {row['improvement']} | {row['claim']} | {row['verdict']}" in PAGE
            assert row["why"][1:] in PAGE


def test_the_headline_holds():
    ratio = SAVED["headline"]["best / notebook"]
    assert ratio < 1
    assert f"{ratio:.0%} of the time" in PAGE
    ends = SAVED["headline"]["best / notebook, at each end"]
    worst = SAVED["headline"]["best / notebook, fast arithmetic and slow launches"]
    assert f"{ends['low']:.0%} at the low end and {ends['high']:.0%} at the high end" in PAGE
    assert f"and {worst:.0%} where" in PAGE
    shares = (ratio, worst, *ends.values())
    assert max(shares) < 1
    assert f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of the time" in README


def test_the_arithmetic_stands_before_the_hours_and_is_what_was_counted():
    notebook = SAVED["plans"]["notebook"]
    whole = notebook["flops_per_step"] * notebook["steps"]
    for name, plan in SAVED["plans"].items():
        everything = plan["flops_per_step"] * plan["steps"]
        row = f"| `{name}` | {plan['flops_per_step'] / 1e12:.1f} | {plan['steps']:,} | {everything / 1e12:,.0f} |"
        assert row in PAGE
        assert PAGE.index(row) < PAGE.index("| hours (low–high) |")
        share = everything / whole
        assert f"{row} {share:.2f} |" in PAGE or f"{row} {share:.1f} |" in PAGE or share == 1


def test_the_readme_gives_the_ranges_as_predicted():
    for name in ("notebook", "fast", "best"):
        hours = SAVED["plans"][name]["hours"]
        low, high = (
            f"{each:.2f}" if each < 1 else f"{each:.1f}" for each in (hours["low"], hours["high"])
        )
        assert f"{low} and {high} h for `{name}`" in README
