"""What goes wrong again and again is told once in a while, and not a thousand times."""

from __future__ import annotations

import time
from collections.abc import Callable

_AGAIN_SECONDS = 600.0


class ToldOnce:
    """Args:
    tell: called with a sentence, from whichever thread it is told.
    clock: in seconds.
    """

    def __init__(
        self, tell: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._told: dict[str, float] = {}

    def __call__(self, kind: str, sentence: str) -> None:
        """Tell a sentence, unless one of its kind was told within ten minutes.

        Args:
            kind: one of few, such as the name of an error.
        """
        now = self._clock()
        if now - self._told.get(kind, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._told[kind] = now
            self._tell(sentence)
