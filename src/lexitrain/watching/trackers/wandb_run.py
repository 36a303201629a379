"""Weights & Biases: online where the user is logged in, else a file of its own in the run's folder.

Offline, Weights & Biases cannot resume: several files of one run would replace each other when they are synced. So each
process writes the whole history anew and then removes what the processes before it wrote: there is one file to sync.
Online the server keeps the run, and is told what it lacks; since it takes no step back, a run that differs from what it
was told goes on under a new id.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.storage import write_json
from lexitrain.watching.trackers.places import PROJECT, tracker_folder, wandb_mode

if TYPE_CHECKING:
    from lexitrain.runs import Run
    from lexitrain.watching.trackers.telling import Losses, Point, Told

_MOST_EVENTS = 200


class WandbRun:
    """One run of Weights & Biases.

    Args:
        run: the run.
        key: its id.
        project: name of the project; empty: that of WANDB_PROJECT, else the usual one.
    """

    def __init__(self, run: Run, key: str, project: str) -> None:
        self._run, self._key = run, key
        self._project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        self._mode = wandb_mode()
        self._state_file = tracker_folder(run, "wandb") / "sent.json"
        self._state = self._read_state()
        self._folder = run.path / "wandb"
        self._old: list[Path] = []
        self._wandb_run: Any = None
        self._step = 0
        self._open()

    def told(self) -> dict[int, Losses]:
        """Online, what was sent before as far as the server has it; offline the file is new."""
        if self._mode != "online":
            return {}
        has = int(self._wandb_run.step or 0)
        sent = {int(step): (loss[0], loss[1]) for step, loss in self._state["sent"].items()}
        self._state["sent"] = {str(step): each for step, each in sent.items() if step < has}
        return {step: each for step, each in sent.items() if step < has}

    def start_again(self) -> None:
        """Go on in a new file, or online under a new id."""
        self._wandb_run.finish(exit_code=1)
        if self._mode == "online":
            self._state = {"again": self._state["again"] + 1, "sent": {}}
        self._open()

    def settings(self, values: Mapping[str, str], recipe: str) -> None:
        """The configuration."""
        del recipe
        self._wandb_run.config.update(_nested(values), allow_val_change=True)

    def points(self, points: Sequence[Point]) -> None:
        """Rows of the history at their steps, which only ever rise."""
        for point in points:
            self._wandb_run.log(dict(point.values), step=point.step)
            self._state["sent"][str(point.step)] = list(point.losses)
            self._step = point.step

    def events(self, events: Sequence[Told]) -> None:
        """A list in the summary: the history takes nothing of a step that is over."""
        newest = events[-_MOST_EVENTS:]
        self._wandb_run.summary["events"] = [
            f"step {each.step}: {each.name} ({each.text})" for each in newest
        ]

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """Entries of the summary."""
        del step
        for name, value in values.items():
            self._wandb_run.summary[name] = value

    def flush(self) -> None:
        """Note what was sent; offline, remove what this file takes the place of."""
        if self._mode == "online":
            write_json(self._state_file, self._state)
        for folder in self._old:
            shutil.rmtree(folder, ignore_errors=True)
        self._old = []

    def finish(self, state: str) -> None:
        """Close the run and end the process that Weights & Biases has started."""
        import wandb

        self._wandb_run.finish(exit_code=0 if state == "finished" else 1)
        wandb.teardown()

    def _open(self) -> None:
        import wandb

        again = self._state["again"]
        key = f"{self._key}-{again + 1}" if again else self._key
        if self._mode == "offline":
            self._old = sorted((self._folder).glob(f"offline-run-*-{key}"))
            self._set_aside()
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            init_timeout=60,
        )
        self._wandb_run = wandb.init(
            project=self._project,
            id=key,
            name=self._run.path.resolve().name,
            dir=str(self._run.path),
            mode=self._mode,  # pyright: ignore[reportArgumentType]
            resume="allow" if self._mode == "online" else None,
            settings=settings,
        )
        if self._mode == "online":
            self.place = str(self._wandb_run.url)
        else:
            self.place = (
                f"{self._folder} ({self._mode}; `wandb sync {self._folder}/offline-run-*` sends it)"
            )

    def _set_aside(self) -> None:
        """Give folders of before another name: those of one second would have the same."""
        for number, folder in enumerate(self._old):
            aside = folder.with_name(f".old-{number}-{os.getpid()}-{self._step}-{folder.name}")
            folder.rename(aside)
            self._old[number] = aside
        left = self._folder.glob(f".old-*-{self._key}") if self._folder.is_dir() else ()
        self._old = sorted({*self._old, *left})

    def _read_state(self) -> dict[str, Any]:
        try:
            found = json.loads(self._state_file.read_text(encoding="utf-8"))
            return {"again": int(found["again"]), "sent": dict(found["sent"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"again": 0, "sent": {}}


def _nested(values: Mapping[str, str]) -> dict[str, Any]:
    """`{"lora.rank": "8"}` as `{"lora": {"rank": "8"}}`; where a name is a section too, the dotted one stays."""
    found: dict[str, Any] = {}
    for dotted, value in values.items():
        section, _, name = dotted.partition(".")
        if name and isinstance(found.setdefault(section, {}), dict):
            found[section][name] = value
        else:
            found[dotted] = value
    return found
