"""What the doctor is looking at, while somebody waits."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from lexitrain.cli.terminal.console import errors_console

if TYPE_CHECKING:
    from lexitrain import Event, Progress


class Stages:
    """Shows what is being looked at, where somebody watches; nothing of it stays."""

    def __init__(self) -> None:
        self._status = errors_console().status("")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def stage(self, text: str) -> None:
        """The next part of the work."""
        self._status.update(f"{text} …")

    def progress(self, progress: Progress) -> None:
        """Nothing is trained."""

    def event(self, event: Event) -> None:
        """Nothing happens."""
