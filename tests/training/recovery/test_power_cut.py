"""A power cut between any two file operations of a run, and of its mirror: what is left is always enough to go on."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.checkpoints import Checkpoints
from lexitrain.runs.folder import Run
from lexitrain.training import Silent, train
from lexitrain.training.recovery.mirror import Mirror
from tests.training.recovery.power_cut import Disk, Recorder, State, write_state
from tests.training.test_train import WEIGHTS, adapter_bytes, assert_equal_runs

FILES = {"adapter.bin": bytes(range(200)), "state.json": b"{}"}


def ignore(path: Path, reason: str) -> None:
    """A broken checkpoint is no loss while an older one is whole."""


def key_of(state: State) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(state.items()):
        digest.update(path.encode() + b"\0" + (b"folder" if content is None else b"=" + content))
    return digest.hexdigest()


def test_no_cut_while_saving_and_rotating_loses_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    safe: list[tuple[int, str, int]] = [(0, "step", 0), (0, "best", 0)]
    with monkeypatch.context() as patch:
        recorder = Recorder(root, patch)
        checkpoints = Checkpoints(root / "run" / "checkpoints", keep=1, truncate=True)
        for step in (1, 2, 3, 3, 5):
            if step != 2:
                checkpoints.save_best(step, FILES, {"validation_loss": 1 / step})
                safe.append((len(recorder.operations), "best", step))
            checkpoints.save(step, {**FILES, "state.json": str(step).encode()})
            safe.append((len(recorder.operations), "step", step))

    disk, chance, states = Disk(), random.Random(1), 0
    for done in range(len(recorder.operations) + 1):
        if done:
            disk.apply(recorder.operations[done - 1])
        wanted = {kind: step for at, kind, step in safe if at <= done}
        for state in disk.states(chance):
            states += 1
            folder = tmp_path / f"cut-{states}"
            folder.mkdir()
            write_state(state, folder)
            left = Checkpoints(folder / "run" / "checkpoints", keep=1)
            left.remove_leftovers()
            newest = left.newest_valid(ignore)
            best = left.best(ignore, wanted["best"])
            assert (newest.step if newest else 0) >= wanted["step"]
            assert (best.step if best else 0) >= wanted["best"]
    assert len(recorder.operations) > 60
    assert states == 10 * (len(recorder.operations) + 1)


@dataclass(frozen=True)
class Found:
    """What a machine that starts after the cut finds in a run's folder, or in its mirror.

    Attributes:
        step: of the newest valid checkpoint; 0: none.
        finished: the adapter is there, whole.
    """

    step: int
    finished: bool


def look_at(run: Run, adapter: bytes, logged: list[int]) -> Found:
    """Read a run as a start does, and check that it is all there."""
    if not run.exists():
        assert not (run.adapter / WEIGHTS).exists()
        return Found(0, False)
    run.read_recipe()
    for name in ("data.json", "environment.json"):
        if (run.path / name).exists():
            json.loads((run.path / name).read_bytes())
    run.events()
    checkpoints = Checkpoints(run.checkpoints, keep=1)
    checkpoints.remove_leftovers()
    found = checkpoints.newest_valid(ignore)
    if found is not None:
        assert any(each.event == "started" for each in run.events())
        standing = json.loads(found.files["state.json"])["standing"]
        there = {line.step for line in run.metrics()}
        assert there >= {step for step in logged if step <= standing["logged_at"]}
        assert checkpoints.best(ignore, standing["best_step"]) is not None
    finished = any(each.event == "finished" for each in run.events())
    if finished:
        assert adapter_bytes(run.path) == adapter
    return Found(0 if found is None else found.step, finished)


def test_the_mirror_has_the_adapter_before_the_journal_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the mirror first hears of a run when it has finished."""
    run = Run(tmp_path / "here" / "run")
    run.write_recipe(load_recipe("demo"))
    run.append_event("started", 0, total_steps=9)
    run.adapter.mkdir()
    (run.adapter / WEIGHTS).write_bytes(b"weights")
    run.append_event("finished", 9)
    root = tmp_path / "drive"
    root.mkdir()
    with monkeypatch.context() as patch:
        recorder = Recorder(root, patch)
        mirror = Mirror(run, root, keep=1)
        mirror.start()
        mirror.flush()
        mirror.stop()
    disk, chance, finished = Disk(), random.Random(3), 0
    for done, operation in enumerate(recorder.operations):
        disk.apply(operation)
        for number, state in enumerate(disk.states(chance)):
            folder = tmp_path / f"cut-{done}-{number}"
            folder.mkdir()
            write_state(state, folder)
            finished += look_at(Run(folder / "run"), b"weights", []).finished
    assert finished


class Witnessing(Silent):
    """Notes after how many operations a checkpoint, and the end, were told."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.told: list[tuple[int, int, bool]] = []

    def event(self, event: Any) -> None:
        if event.event in {"checkpoint", "finished"} and self.recorder is not None:
            at = len(self.recorder.operations)
            self.told.append((at, event.step, event.event == "finished"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_cut_in_a_whole_run_loses_what_was_told(
    recipe_of: Callable[..., Recipe],
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Writing, rotating, mirroring, finishing; run and mirror each on their own; some cuts are trained to the end."""
    recipe = recipe_of(["schedule.epochs=2", "checkpoints.keep=1"])
    root = tmp_path / "disk"
    root.mkdir()
    watching = Witnessing()
    with monkeypatch.context() as patch:
        watching.recorder = recorder = Recorder(root, patch)
        train(recipe, data_dir, root / "here" / "run", mirror=root / "drive", observer=watching)
    adapter = adapter_bytes(root / "here" / "run")
    logged = [line.step for line in Run(root / "here" / "run").metrics()]

    disk, chance = Disk(), random.Random(2)
    seen: dict[str, tuple[Found, Found]] = {}
    local_before = mirror_before = 0
    goes_on: list[Path] = []
    for done in range(len(recorder.operations) + 1):
        if done:
            disk.apply(recorder.operations[done - 1])
        told = [(step, finished) for at, step, finished in watching.told if at <= done]
        here, there = [], []
        for state in disk.states(chance):
            key = key_of(state)
            if key not in seen:
                folder = tmp_path / f"cut-{len(seen)}"
                folder.mkdir()
                write_state(state, folder)
                local, mirror = Run(folder / "here" / "run"), Run(folder / "drive" / "run")
                seen[key] = look_at(local, adapter, logged), look_at(mirror, adapter, logged)
                if len(seen) % 80 == 0:
                    goes_on.append(folder)
            found, mirrored = seen[key]
            assert found.step >= max((step for step, _ in told), default=0)
            assert found.finished >= any(finished for _, finished in told)
            here.append(found.step)
            there.append(mirrored.step)
        # What was safe once stays so, in the run's folder and in the mirror.
        assert min(here) >= local_before
        assert min(there) >= mirror_before
        local_before, mirror_before = min(here), min(there)
    assert local_before == mirror_before == 16
    for folder in goes_on:
        result = train(recipe, data_dir, folder / "here" / "run", mirror=folder / "drive")
        assert result.state == "finished"
        assert_equal_runs(folder / "here" / "run", root / "here" / "run")
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(recorder.operations)} file operations, {len(seen)} states of the disk, "
            f"0 unrecoverable, {len(goes_on)} trained to the end\n"
        )
    assert len(recorder.operations) > 300
    assert len(goes_on) > 3
