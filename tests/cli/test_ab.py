"""`lexitrain ab`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lexitrain.cli.main import run as lexitrain
from tests.abtest.worlds import exposures, written

PLAN = ["ab", "plan", "--effect", "0.05", "--baseline", "0.6"]

STARS = ["ab", "plan", "--metric", "stars", "--sd", "1", "--learners-per-day", "9"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("ab") / "test.jsonl", exposures(700, effect=0.15))


def test_a_plan_is_shown_with_what_it_assumes(capsys: pytest.CaptureFixture[str]):
    assert lexitrain([*PLAN, "--learners-per-day", "100", "--visits", "5"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "read once, at its end",
        "read at any time",
        "whole weeks",
        "design effect",
        "Assumed: two values",
    ):
        assert words in shown


def test_learners_who_ask_once_do_not_come_back(capsys: pytest.CaptureFixture[str]):
    assert lexitrain([*PLAN, "--learners-per-day", "100"]) == 0
    assert "Learners who come back" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "work",
    [
        "run(['ab', 'plan', '--help'])",
        "run(['ab', 'serve', '--help'])",
        "run(['ab', 'plan', '--effect', '0.05', '--baseline', '0.6', '--learners-per-day', '99'])",
        "run(['ab', 'report', {file!r}])",
        "import lexitrain.abtest.service.report_process, lexitrain.abtest.service.application",
        "from lexitrain.abtest.engines.open_engine import EngineSettings, arms_of; "
        "arms_of('http://127.0.0.1:9/v1#x', 'http://127.0.0.1:9/v1#y', (), EngineSettings())",
    ],
)
def test_what_asks_no_model_loads_no_torch(file: Path, work: str):
    code = f"import sys; from lexitrain.cli.main import run; {work.format(file=str(file))}; "
    code += "sys.exit(9 if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_hopeless_plan_ends_with_3_and_says_what_is_possible(capsys: pytest.CaptureFixture[str]):
    assert lexitrain([*PLAN, "--learners-per-day", "3"]) == 3
    shown = capsys.readouterr().out
    assert "Hopeless: 270 learners come in time" in shown
    assert "the smallest effect found is +0." in shown


def test_an_effect_may_be_a_share_of_the_baseline(capsys: pytest.CaptureFixture[str]):
    for effect in ("10%", "0.06"):
        arguments = [
            "ab",
            "plan",
            "--effect",
            effect,
            "--baseline",
            "0.6",
            "--learners-per-day",
            "99",
        ]
        assert lexitrain([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["question"]["effect"] == pytest.approx(0.06)


def test_plan_then_report(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert lexitrain(["ab", "plan", "--effect", "0.1", "--from", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["assumed"] == []
    (tmp_path / "plan.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    asked = ["ab", "report", str(file), "--plan", str(tmp_path / "plan.json"), "--out", str(out)]
    assert lexitrain(asked) == 0
    shown = capsys.readouterr().out
    assert "new is better than old." in shown
    assert (out / "ab.html").is_file()
    assert lexitrain([*asked, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((out / "ab.json").read_text(encoding="utf-8"))
    assert said["experiment"]["planned"] == document["planned"]


def test_harm_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = written(tmp_path / "harm.jsonl", exposures(700, errors=(0, 0.1)))
    assert lexitrain(["ab", "report", str(file)]) == 3
    assert "Stop new: it does harm." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (PLAN, "--learners-per-day"),
        (["ab", "plan", "--effect", "0.05", "--learners-per-day", "9"], "--baseline"),
        ([*PLAN, "--learners-per-day", "9", "--metric", "helpfull"], "helpful"),
        ([*PLAN, "--learners-per-day", "9", "--metric", "stars"], "standard deviation"),
        ([*PLAN, "--learners-per-day", "9", "--sd", "1"], "baseline of a share"),
        ([*PLAN, "--learners-per-day", "9", "--ratio", "half"], "no ratio"),
        ([*PLAN, "--learners-per-day", "nan"], "learners a day"),
        (["ab", "plan", "--effect", "some", "--baseline", "0.6", "--learners-per-day", "9"], "no difference"),
        (["ab", "report", "nothing.jsonl"], "nothing.jsonl"),
        (["ab", "report", "{file}", "--margin", "0"], "margin"),
        (["ab", "report", "{file}", "--p95", "-1"], "limit"),
        (["ab", "report", "{file}", "--p95", "nan"], "Permitted is between 0.001 and 600"),
        (["ab", "report", "{file}", "--errors", "5"], "--errors: The limit of a difference of shares is 5."),
        (["ab", "report", "{file}", "--errors", "nan"], "--errors"),
        (["ab", "report", "{file}", "--invalid-json", "2"], "--invalid-json"),
        (["ab", "report", "{file}", "--slower", "0.5"], "Permitted is between 1 and 100"),
        (["ab", "report", "{file}", "--margin", "5"], "Permitted is between 1e-06 and 1"),
        ([*PLAN, "--learners-per-day", "9", "--learners", "1"], "--learners"),
        ([*PLAN, "--learners-per-day", "9", "--visits", "0.5"], "--visits"),
        ([*PLAN, "--learners-per-day", "9", "--visits", "2", "--visits-sd", "-1"], "--visits-sd"),
        ([*PLAN, "--learners-per-day", "9", "--visits", "2", "--alike", "1.5"], "--alike"),
        ([*PLAN, "--learners-per-day", "9", "--rated", "0"], "--rated"),
        ([*PLAN, "--learners-per-day", "9", "--power", "1"], "--power"),
        ([*PLAN, "--learners-per-day", "9", "--alpha", "nan"], "--alpha"),
        ([*PLAN, "--learners-per-day", "9", "--ratio", "1:1e9"], "at most 1000:1"),
        ([*PLAN, "--learners-per-day", "9", "--most-days", "1000000"], "--most-days"),
        (["ab", "plan", "--effect", "nan", "--baseline", "0.6", "--learners-per-day", "9"], "--effect"),
        ([*STARS, "--effect", "5", "--baseline", "3.9"], "--effect: The baseline with the effect is 8.9."),
        ([*STARS, "--effect", "0.2", "--baseline", "60"], "Permitted is between 1 and 5"),
        (["ab", "report", "{file}", "--plan", "{file}"], "no JSON"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_exit_code_2(
    file: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
):
    assert lexitrain([each.format(file=file) for each in arguments]) == 2
    captured = capsys.readouterr()
    assert told in " ".join(captured.err.split())
    assert captured.out == ""
