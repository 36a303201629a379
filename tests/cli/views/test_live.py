"""The live view in every width, with and without Unicode, colour and a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from lexitrain.cli.main import run as command
from lexitrain.cli.terminal.progress import redraws
from lexitrain.cli.views.live import LiveView, duration, plain_line
from lexitrain.cli.views.watched import Watched
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Metrics
from lexitrain.watching import LiveRun, TimeLeft

LIVE = LiveRun(
    name="run",
    step=120,
    total_steps=800,
    epoch=1.25,
    loss=0.7342,
    validation_loss=0.81,
    best_validation_loss=0.8,
    samples_per_second=21.155,
    tokens_per_second=1040.8,
    data_wait=0.02,
    memory_gb=5.5,
    planned_gb=6.0,
    limit_gb=15.0,
    left=TimeLeft(3000.0, 3725.0, 4800.0),
    checkpoint_step=100,
    checkpoint_time=time.time() - 130,
    mirror="follows",
    trackers={"wandb": "on", "mlflow": "disk [full] 学习者 " + "x" * 90},
)

SAID = (
    "120/800 15%", "epoch 1.25", "loss 0.734", "val 0.810 (best 0.800)", "1 h 02 min", "21.2 samples/s",
    "1,041 tokens/s", "memory 5.50 GB (planned 6.00, of 15.00)", "GPU 87 %, 3 %", "data wait 2%",
    "saved step 100, 2 min", "mirror follows", "wandb on", "mlflow off: disk [full]",
)  # fmt: skip


def drawn(
    width: int, *, encoding: str = "utf-8", colour: bool = False, live: LiveRun = LIVE
) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="")
    system = "truecolor" if colour else None
    out = Console(
        file=file, width=width, force_terminal=colour, color_system=system, no_color=not colour
    )
    view = LiveView(replace(LIVE, checkpoint_time=time.time() - 130) if live is LIVE else live)
    view.gpu = (87, 3)
    out.print(view)
    file.flush()
    return file.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [200, 130, 80, 60, 40, 24])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_it_fits_in_every_width(width: int, encoding: str) -> None:
    lines = drawn(width, encoding=encoding).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    text = "\n".join(lines)
    if width >= 60:
        assert all(each in text for each in SAID)
    assert "120/800" in lines[0]
    assert "loss 0.734" in text


def test_recorded_by_rich_it_is_the_same() -> None:
    out = Console(record=True, file=io.StringIO(), width=80)
    out.print(LiveView(LIVE))
    text = out.export_text()
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "1 h 02 min (50 min 00 s – 1 h 20 min) left" in text


def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in drawn(80, colour=True)
    assert "\x1b[" not in drawn(80)
    monkeypatch.setenv("NO_COLOR", "1")
    out = Console(record=True, file=io.StringIO(), width=80, force_terminal=True)
    out.print(LiveView(LIVE))
    assert "[3" not in out.export_text(styles=True)


def test_what_is_not_known_is_not_shown() -> None:
    text = drawn(80, live=LiveRun(step=3))
    assert "3/?" in text
    assert "nothing saved yet" in text
    assert "None" not in text
    assert "nan" not in text
    beyond = drawn(80, live=replace(LIVE, step=900, left=TimeLeft(0, 0, 0)))
    assert "900/800 100%" in beyond


def test_what_could_steer_a_terminal_is_taken_out() -> None:
    nasty = replace(LIVE, mirror="behind: \x1b[2J\rgone", trackers={})
    assert "\x1b[2J" not in drawn(80, live=nasty)
    assert "\x1b" not in plain_line(nasty)


def test_a_future_checkpoint_is_one_of_now() -> None:
    ahead = replace(LIVE, checkpoint_time=time.time() + 9999)
    assert "saved step 100, 0 s ago" in drawn(130, live=ahead)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min"), (float("nan"), "?"), (-1, "?"), (None, "?"), (1e300, "?")],
)  # fmt: skip
def test_lengths_of_time(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_only_a_terminal_that_moves_its_cursor_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert redraws(Console(file=Terminal()))
    assert not redraws(Console(file=io.StringIO()))
    monkeypatch.setenv("TERM", "dumb")
    assert not redraws(Console(file=Terminal()))


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_colours_in_a_pipe_move_no_cursor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, "1")
    out = Console(file=io.StringIO(), width=60)
    assert out.is_terminal
    assert not redraws(out)
    with Watched(out, tmp_path) as shown:
        shown.show(LIVE)
        shown.show(replace(LIVE, state="finished"))
    assert isinstance(out.file, io.StringIO)
    assert "\x1b[?25l" not in out.file.getvalue()  # a hidden cursor
    assert "\x1b[2K" not in out.file.getvalue()  # an erased line
    assert out.file.getvalue().count("\n") == 2


def test_a_dumb_terminal_gets_lines_that_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Console(file=io.StringIO(), force_terminal=True, width=40, color_system=None)
    with Watched(out, tmp_path) as shown:
        shown.show(LIVE)
        shown.show(LIVE)
        shown.show(replace(LIVE, state="finished"))
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert "\r" not in text
    assert "\x1b[" not in text
    assert text.count("step 120/800") == 2
    assert text.rstrip().endswith("finished")


def test_a_terminal_is_drawn_again_in_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Console(file=Terminal(), width=40)
    with Watched(out, tmp_path) as shown:
        shown.show(LIVE)
        shown.show(replace(LIVE, step=121))
    assert isinstance(out.file, io.StringIO)
    assert "\x1b[1A" in out.file.getvalue()
    assert "121/800" in out.file.getvalue()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.write_recipe(Recipe())
    run.append_event("started", 0, total_steps=20)
    run.append_metrics(Metrics(10, 0.5, 2.0, 1e-3, 1.0, 12.0, 200.0, 500, 1000, 0.5, 0.75))
    return run


def test_watch_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["watch", str(run.path), "--once"]) == 0
    assert capsys.readouterr().out.startswith("step 10/20  epoch 0.50  loss 2.000")
    assert command(["watch", str(run.path), "--once", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["step"], document["loss"]) == ("interrupted", 10, 2.0)


def test_watch_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["watch", str(tmp_path)]) == 2
    assert command(["watch", str(tmp_path / "none")]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_ends_when_the_run_does(run: Run, as_json: bool) -> None:
    """A process of its own: nothing but the files tells it anything."""
    arguments = [sys.executable, "-m", "lexitrain", "watch", str(run.path), "--every=0.1"]
    with run.lock():
        watching = subprocess.Popen(
            [*arguments, *(["--json"] if as_json else [])], stdout=subprocess.PIPE, text=True
        )
        time.sleep(2.0)
        assert watching.poll() is None
        run.append_event("finished", 20)
    said, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert "finished" in said.splitlines()[-1]
    if as_json:
        states = [json.loads(line)["state"] for line in said.splitlines()]
        # A look between the event and the end of its writer finds a run that is held still.
        assert [state for state, _ in groupby(states)] == ["running", "finished"]
