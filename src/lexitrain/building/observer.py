"""Who is told how a build goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lexitrain.training import Observer


class BuildObserver(Protocol):
    """Is told how a build goes."""

    def begins(self, stage: str, number: int, count: int) -> None:
        """A stage begins."""

    def skipped(self, stage: str, number: int, count: int) -> None:
        """A stage is done already, of the same inputs."""

    def says(self, sentence: str) -> None:
        """Something to know."""

    def progress(self, what: str, done: int, total: int) -> None:
        """How much of a stage is done."""

    def training(self) -> Observer | None:
        """Who is told of the training's steps."""


class Unwatched:
    """The observer that shows nothing."""

    def begins(self, stage: str, number: int, count: int) -> None:
        """Ignored."""

    def skipped(self, stage: str, number: int, count: int) -> None:
        """Ignored."""

    def says(self, sentence: str) -> None:
        """Ignored."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Ignored."""

    def training(self) -> Observer | None:
        """Nobody."""
        return None
