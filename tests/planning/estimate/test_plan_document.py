"""The planning page quotes what the benchmark saved."""

from __future__ import annotations

import json

import pytest

from tests.paths import ROOT

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


def test_the_claims_are_those_that_were_judged():
    for row in SAVED["versus"]["slow → notebook"]["improvement"]["table"]:
        if row["claim"]:
            assert f"| {row['improvement']} | {row['claim']} |" in PAGE
            assert row["why"][1:] in PAGE


def test_the_headline_holds():
    ratio = SAVED["headline"]["best / notebook"]
    assert ratio < 1
    assert f"{ratio:.0%} of the time" in PAGE
