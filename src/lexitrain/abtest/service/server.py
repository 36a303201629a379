"""uvicorn, told what a service on the open network needs.

Over what uvicorn has itself: a connection that does not get its request's head done in time is closed, so that many
slow ones cannot hold all places for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lexitrain.abtest.service.guarding.shield import LARGEST_HEAD, Application

_HEAD_SECONDS = 15.0
_MOST_CONNECTIONS = 1000


class _Impatient(H11Protocol):
    """Closes a connection whose next request does not begin, or whose head does not end, in time."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._waited()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waited()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(_HEAD_SECONDS, self._end)

    def _waited(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end(self) -> None:
        self._patience = None
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self.transport.close()


def server(application: Application, host: str, port: int, proxies: str) -> uvicorn.Server:
    """The server, not started.

    Args:
        host, port: where it listens.
        proxies: addresses of reverse proxies whose word on the client's address is taken; empty: none.
    """
    config = uvicorn.Config(
        application,  # pyright: ignore[reportArgumentType] - the same protocol, spelt otherwise
        host=host,
        port=port,
        http=_Impatient,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,  # addresses and ids of learners
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)
