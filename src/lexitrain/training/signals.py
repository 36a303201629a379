"""SIGINT and SIGTERM ask a run to stop; the loop answers after the step at hand.

A notebook's stop button, Ctrl+C and a machine that is taken away all send one of the two. The first one sets a flag. A
second SIGINT acts at once, as it does without this: checkpoints are written so that even then none is half-written.

Of several processes each may get a signal at another moment, or only one of them. They stop together: `agree` shares
what each has noted, and only what was agreed on decides anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from lexitrain.step import Processes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """While entered, the two signals set `noted` instead of ending the process.

    Only the main thread may set handlers; in any other one the signals keep their old meaning.

    Attributes:
        noted: the signal that this process got, by name.
        agreed: the signal that all processes answer, by name; set by `agree`.

    Args:
        tell: called with a sentence for the user when a signal arrives.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.noted: str | None = None
        self.agreed: str | None = None
        self._tell = tell
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in _SIGNALS:
                self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def agree(self, processes: Processes) -> bool:
        """Whether any process has got a signal; all of them call this, and all get the same answer."""
        number = processes.largest(signal.Signals[self.noted] if self.noted else 0)
        if number:
            self.agreed = signal.Signals(number).name
        return self.agreed is not None

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.noted = signal.Signals(number).name
        self._restore(signal.SIGINT)
        if self._tell is not None:
            self._tell(f"{self.noted}: finishing the step, then saving")

    def _restore(self, *which: signal.Signals) -> None:
        for each in which or tuple(self._before):
            if each in self._before:
                signal.signal(each, self._before.pop(each))
