"""Our half: the run, undisturbed and timed; the same by the command, killed and gone on with; the team's old way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.against.clock import StepClock, memory
from benchmarks.against.places import (
    BASE,
    DATA,
    OWN_ADAPTER,
    OWN_RUN,
    RECIPE,
    RIVAL,
    TRAIN_ONLY,
    WEIGHTS,
)
from benchmarks.against.settings import Settings, read_work
from lexitrain import Run, load_recipe, train

ADAPTER = f"adapter/{WEIGHTS}"
KILLED, OLD_WAY, MIRROR = "runs/killed", "runs/old-way", "runs/mirror"
_LOOK_EVERY = 0.02  # seconds


class _Timed:
    """An observer that notes when steps end; whatever is told before the first one is not a step."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock

    def stage(self, _text: str) -> None:
        self._clock.before_steps()

    def event(self, _event: Any) -> None:
        self._clock.before_steps()

    def progress(self, _progress: Any) -> None:
        self._clock.step()


def main(work: Path, settings: Settings) -> dict[str, Any]:
    """Train undisturbed; times, memory, and where the adapter is."""
    clock, both = StepClock(), read_work(work / RIVAL)
    recipe = load_recipe(str(work / RECIPE))
    result = train(recipe, work / TRAIN_ONLY, work / OWN_RUN, fresh=True, observer=_Timed(clock))
    figures = clock.figures(both.samples * settings.epochs)  # what follows is no part of training
    events = [each.event for each in Run(work / OWN_RUN).events()]
    shutil.copytree(work / OWN_RUN / "adapter", work / OWN_ADAPTER, dirs_exist_ok=True)
    return {
        **figures,
        "memory": memory(torch),
        "steps_done": result.step,
        "rungs_climbed": events.count("rung"),
        "adapter": OWN_ADAPTER,
    }


def old_way(work: Path, settings: Settings) -> dict[str, Any]:
    """The recipe `notebook`, what the team's notebook did, for a few steps: what the whole of it would take follows."""
    on_gpu = torch.cuda.is_available()
    settings_of_cpu = [] if on_gpu else ["model.quantization=none", "optimizer.name=adamw"]
    changes = [f"model.base={work / BASE}", f"seed={settings.seed}", "checkpoints.mirror=none"]
    recipe = load_recipe("notebook", [*changes, *settings_of_cpu])
    clock, both = StepClock(), read_work(work / RIVAL)
    steps = settings.old_way_steps
    train(
        recipe,
        work / TRAIN_ONLY,
        work / OLD_WAY,
        fresh=True,
        stop_after_step=steps,
        observer=_Timed(clock),
    )
    figures = clock.figures(steps * recipe.step.effective_batch)
    batches = -(-both.samples // recipe.step.effective_batch)
    whole = batches * settings.epochs * figures["seconds_a_step_after_warm_up"]
    return {
        **figures,
        "memory": memory(torch),
        "recipe": "notebook",
        "changed": settings_of_cpu,
        "seconds_of_steps_of_the_same_epochs": round(whole, 1),
        "timed": f"{figures['steps'] - figures['warm_up_steps']} steps after {figures['warm_up_steps']} of warm-up; "
        "the rest is reckoned from them",
    }


def disconnect(work: Path, _settings: Settings) -> dict[str, Any]:
    """Train by the command, kill it (SIGKILL) at about half way, take its disk away, give the same command again.

    As where a session on Colab ends: what goes on is the copy of the run in its mirror. It is killed half an interval
    of checkpoints after the middle: what is lost on average.
    """
    both = read_work(work / RIVAL)
    run, mirror = Run(work / KILLED), work / MIRROR
    for left_over in (run.path, mirror):
        shutil.rmtree(left_over, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "lexitrain", "train", "--recipe", str(work / RECIPE)),
        *("--data", str(work / TRAIN_ONLY), "--run", str(run.path), "--mirror", str(mirror)),
        *("--set", "log_every=1"),
    ]
    copy = Run(mirror / run.path.name)
    kill_at = min(both.steps - 1, both.steps // 2 + both.save_every // 2)
    began = time.time()
    process = subprocess.Popen(command, start_new_session=True)
    while _step_of(run) < kill_at or not copy.checkpoint_steps():
        if process.poll() is not None:
            raise RuntimeError(f"the run ended by itself ({process.returncode}) before the kill")
        time.sleep(_LOOK_EVERY)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed, killed_at = time.time(), _step_of(run)
    shutil.rmtree(run.path)
    subprocess.run(command, check=True)
    ended = time.time()
    resumed = [each for each in run.events() if each.event == "resumed"]
    return {
        "killed_at_step": killed_at,
        "resumed_at_step": resumed[-1].step,
        "steps_done_again": killed_at - resumed[-1].step,
        "seconds_until_killed": round(killed - began, 2),
        "seconds_until_finished": round(ended - began, 2),
        "minutes_lost": round(_lost(run, killed, killed_at) / 60, 3),
        "lost_is": "from the kill until the run was again where it was killed",
        "same_adapter": compared(work / OWN_RUN / ADAPTER, run.path / ADAPTER),
    }


def _step_of(run: Run) -> int:
    """The last step that the run has logged."""
    lines = run.metrics() if run.metrics_file.is_file() else []
    return lines[-1].step if lines else 0


def _lost(run: Run, killed: float, killed_at: int) -> float:
    """Seconds from the kill until the run had done again what it had done before it.

    Of the second process: what came before its first step, and the steps that it did again at the speed of all.
    """
    from datetime import datetime

    events = run.events()
    resumed = max(
        datetime.fromisoformat(each.time).timestamp() for each in events if each.event == "resumed"
    )
    end = datetime.fromisoformat(events[-1].time).timestamp()
    first = [each.step for each in events if each.event == "resumed"][-1]
    steps = events[-1].step - first
    return resumed - killed + (end - resumed) * (killed_at - first) / max(1, steps)


def compared(one: Path, other: Path) -> dict[str, Any]:
    """Whether two adapters are the same bytes; else how far they differ.

    Returns:
        `bytes`; `largest_difference` of any weight; `relative_difference`, of the differences' norm to the weights'.
    """
    if one.read_bytes() == other.read_bytes():
        return {"bytes": True, "largest_difference": 0.0, "relative_difference": 0.0}
    ours, theirs = load_file(one), load_file(other)
    gaps = [ours[name] - theirs[name] for name in ours]
    norm = float(torch.stack([each.square().sum() for each in ours.values()]).sum().sqrt())
    gap = float(torch.stack([each.square().sum() for each in gaps]).sum().sqrt())
    return {
        "bytes": False,
        "largest_difference": max(float(each.abs().max()) for each in gaps),
        "relative_difference": gap / norm,
    }


def exported(work: Path, settings: Settings) -> dict[str, Any]:
    """Export our run and verify the file on the test split."""
    from lexitrain import export

    report = export(
        str(work / OWN_RUN),
        ["gguf"],
        quantize=[settings.quantize],
        verify=work / DATA,
        limit=settings.scored,
    )
    return _of_export(report.to_json()["files"], report.missed)


def _of_export(files: Sequence[dict[str, Any]], missed: Sequence[str]) -> dict[str, Any]:
    file = next(each for each in files if each["form"] == "gguf")
    verified = file["verification"]
    return {
        "file": Path(file["path"]).name,
        "bytes": file["bytes"],
        "seconds": file["seconds"],
        "distances": verified["distances"],
        "prompts_read_the_same": verified["text"],
        "equal_answers": verified["equal_answers"],
        "tasks": {
            name: {
                "primary": task["primary"],
                "no_worse_by_margin": task["no_worse_by_margin"],
                **task["differences"][task["primary"]],
            }
            for name, task in verified["tasks"].items()
        },
        "under_the_grammar": verified["under_the_grammar"],
        "speed": verified["speed"],
        "missed": list(missed),
    }
