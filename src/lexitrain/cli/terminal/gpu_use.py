"""How busy the GPUs of this machine are, asked in a thread, so that nobody waits for the driver."""

from __future__ import annotations

import shutil
import subprocess
import threading

_ASKED = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0


class GpuUse:
    """Asks now and then; `percent` is the newest answer, a number for each GPU, and empty where there is none."""

    def __init__(self) -> None:
        self.percent: tuple[int, ...] = ()
        self._ended = threading.Event()
        if shutil.which(_ASKED[0]) is not None:
            threading.Thread(target=self._ask, name="gpu-use", daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                done = subprocess.run(
                    _ASKED, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=True
                )
            except (OSError, subprocess.SubprocessError):
                self.percent = ()
                return
            lines = [line.strip() for line in done.stdout.splitlines()]
            self.percent = tuple(int(line) for line in lines if line.isdecimal())
            self._ended.wait(_EVERY_SECONDS)
