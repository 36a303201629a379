"""Which trackers a run tells, where each of them keeps what it is told, and which packages it needs.

A tracker is named as `KIND` or `KIND:PLACE`. For `tensorboard` and `mlflow` the place is a folder, for `trackio` and
`wandb` the name of a project.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lexitrain.errors import InputError, MissingExtra
from lexitrain.recipe import NO_TRACKER, TRACKERS, checked_trackers
from lexitrain.storage import user_path

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Run

EXTRA = "trackers"
PROJECT = "lexitrain"
"""Name of the project, or experiment, where none is given."""

_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard",),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}
_IN_FOLDERS = {"tensorboard", "mlflow"}


@dataclass(frozen=True, slots=True)
class TrackerPlace:
    """A tracker, and where it keeps what it is told.

    Attributes:
        kind: tensorboard, trackio, wandb or mlflow.
        place: a folder or the name of a project; empty for the usual one.
    """

    kind: str
    place: str = ""

    @classmethod
    def of(cls, text: str) -> TrackerPlace:
        """From `KIND` or `KIND:PLACE`, as a recipe has checked it."""
        kind, _, place = text.partition(":")
        return cls(kind, place)

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}" if self.place else self.kind

    def whole(self) -> TrackerPlace:
        """With the folder, where it is one, by its absolute path."""
        if not self.place or self.kind not in _IN_FOLDERS:
            return self
        return TrackerPlace(self.kind, str(user_path(self.place).absolute()))


def with_trackers(recipe: Recipe, run: Run | None, given: Sequence[str] | None) -> Recipe:
    """The recipe with the trackers that were given, that it names, or that the run has had.

    Raises:
        InputError: there is no such tracker.
    """
    names = recipe.trackers
    if given is not None:
        try:
            names = checked_trackers(tuple(given))
        except ValueError as error:
            raise InputError(
                f"{error}.",
                where="--tracker",
                fix=f"Trackers: {', '.join(TRACKERS)}, or none; with a place as tensorboard:FOLDER or wandb:PROJECT.",
            ) from error
    if not names and run is not None and run.exists():
        names = run.read_recipe().trackers
    whole = tuple(str(TrackerPlace.of(each).whole()) for each in names)
    return recipe.model_copy(update={"trackers": whole})


def places_of(recipe: Recipe) -> list[TrackerPlace]:
    """The trackers that the recipe names."""
    return [TrackerPlace.of(each) for each in recipe.trackers if each != NO_TRACKER]


def tracker_folder(run: Run, kind: str) -> Path:
    """Where the process that tells a tracker of the run has its lock and its log."""
    return run.path / "trackers" / kind


def require_trackers(recipe: Recipe) -> None:
    """Nothing, when all packages are there that the recipe's trackers need.

    Raises:
        MissingExtra: one is not.
    """
    for place in places_of(recipe):
        for package in _PACKAGES[place.kind]:
            if find_spec(package) is None:
                raise MissingExtra(package, EXTRA)


def wandb_mode(environ: Mapping[str, str] = os.environ) -> str:
    """`online` where the user is logged in to Weights & Biases, else `offline`; `WANDB_MODE` decides where it is set.

    Asks no server: a key in the environment or in the file that `wandb login` writes counts.
    """
    if mode := environ.get("WANDB_MODE", "").strip():
        return mode
    if environ.get("WANDB_API_KEY"):
        return "online"
    host = urlsplit(environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    named = environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            known = netrc(path).authenticators(host) if path.is_file() else None
        except (OSError, NetrcParseError, UnicodeDecodeError):
            known = None
        if known:
            return "online"
    return "offline"
