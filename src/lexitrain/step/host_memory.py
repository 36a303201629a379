"""Memory of the host: what a step frees stays with the process.

A step allocates and frees the same gigabytes every time. glibc hands large pieces and the top of its heap back to the
system, which then gives fresh pages and clears them: at 2,853 positions of a 768 x 12 model that was 50,000 to 150,000
page faults a step, and none with the settings below (`M_TRIM_THRESHOLD`, `M_MMAP_MAX` in mallopt(3)).
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; False where the C library is another one. Its peak does not change."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER)) and bool(mallopt(_MMAP_MAX, 0))
