"""How often somebody may ask: a bucket that fills steadily, for each learner and each address.

The clock is the monotonic one: a wall clock may go backwards. Whoever was not seen longest is forgotten first, so that
a million made-up names take no memory.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_NAMES = 50_000


class RateLimit:
    """Args:
    per_minute: requests of one name; 0: any number.
    clock: in seconds.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._most = max(per_minute / 2, 1.0)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str) -> int:
        """0 where the request may go on, which counts it; else the seconds after which it may."""
        if not self._rate:
            return 0
        now = self._clock()
        left, then = self._left.pop(name, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        allowed = left >= 1
        self._left[name] = (left - 1 if allowed else left, now)
        if len(self._left) > _MOST_NAMES:
            self._left.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self._rate)


def address_group(host: str) -> str:
    """The name by which an address is counted: a household has a whole /64 of IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:100]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
