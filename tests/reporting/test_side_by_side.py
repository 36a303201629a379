"""Runs side by side on one page: what differs, what each scores and took; what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lexitrain import InputError, RunError, train, write_runs_page
from lexitrain.cli.main import run as command
from tests.reporting.run_folders import run, small_recipe, trained
from tests.reporting.test_run_page import MARKUP, OWN, Page

__all__ = ["run", "trained"]


def words_of(page: Path) -> str:
    return " ".join(Page(page.read_text(encoding="utf-8")).words.split())


def test_runs_stand_side_by_side(run: Path, tiny_base: Path, tmp_path: Path):
    data = json.loads((run / "data.json").read_text())["folder"]
    train(small_recipe(tiny_base, "lora.rank=2"), data, tmp_path / "second", stop_after_step=9)
    page = write_runs_page([run, tmp_path / "second"], tmp_path / "both.html")
    words = words_of(page)
    assert "first: finished." in words
    assert "second: stopped." in words
    assert "lora.rank 4 2" in words
    assert "fluency mae 0.191 (0.158 – 0.225) –" in words
    assert "second is not evaluated." in words
    assert "steps 16 of 16 9 of 16" in words
    assert "Their samples differ" not in words
    assert Page(page.read_text()).tags <= OWN
    assert (
        write_runs_page([run, tmp_path / "second"], tmp_path / "again.html").read_bytes()
        == page.read_bytes()
    )


def test_a_page_needs_no_torch(run: Path):
    """Some of the time of a command is importing; a page has no use for torch."""
    code = "import sys; from lexitrain.cli.main import run; print(run(sys.argv[1:]), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(run)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_other_records_do_not_compare(run: Path, tmp_path: Path):
    other = shutil.copytree(run, tmp_path / "other")
    scores = other / "evaluation" / "test-1000.json"
    content = json.loads(scores.read_text())
    content["data"]["sha256"] = "0" * 64
    scores.write_text(json.dumps(content))
    words = words_of(write_runs_page([run, other], tmp_path / "both.html"))
    assert "They were scored on different records" in words
    assert "chosen in other ways" not in words
    assert "The recipes differ in no field that changes what is learnt." in words


def test_the_same_records_under_another_name_do(run: Path, tmp_path: Path):
    other = shutil.copytree(run, tmp_path / "other")
    scores = other / "evaluation" / "test-1000.json"
    scores.rename(scores.with_name("test-1000-t0.7.json"))
    words = words_of(write_runs_page([run, other], tmp_path / "both.html"))
    assert "different records" not in words
    scores = scores.with_name("test-1000-t0.7.json")
    content = json.loads(scores.read_text())
    content["decoding"]["temperature"] = 0.7
    content["n"] = 500
    scores.write_text(json.dumps(content))
    words = words_of(write_runs_page([run, other], tmp_path / "both.html"))
    assert "They were scored on different records" in words
    assert "Their answers were chosen in other ways" in words


def test_damaged_and_hostile_runs_have_a_place_too(run: Path, tmp_path: Path):
    (tmp_path / MARKUP.replace("/", "")).mkdir()
    damaged = tmp_path / MARKUP.replace("/", "")
    for name in ("recipe.yaml", "metrics.jsonl", "events.jsonl"):
        (damaged / name).write_text(f"{MARKUP}\n\n")
    page = write_runs_page([run, damaged], tmp_path / "both.html")
    assert Page(page.read_text()).tags <= OWN
    assert "has no recipe that can be read" in words_of(page)


def test_what_cannot_stand_side_by_side_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(InputError, match="2 to 24 runs"):
        write_runs_page([run], tmp_path / "one.html")
    with pytest.raises(RunError, match="There is no such folder"):
        write_runs_page([run, tmp_path / "nowhere"], tmp_path / "both.html")
    assert not list(tmp_path.glob("*.html"))


def test_the_command_writes_where_it_says(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert command(["report", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"page": str(run / "report.html"), "bytes": (run / "report.html").stat().st_size}
    other = shutil.copytree(run, tmp_path / "other")
    assert command(["report", str(run), str(other)]) == 0
    assert "Saved to report.html" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()
    assert command(["report", str(tmp_path / "nowhere")]) == 2
    assert "There is no such folder" in capsys.readouterr().err
    (tmp_path / "mine.html").write_text("mine")
    assert command(["report", str(run), "--out", "mine.html"]) == 2
    assert (tmp_path / "mine.html").read_text() == "mine"
