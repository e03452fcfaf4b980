# SPDX-License-Identifier: Apache-2.0
"""A listening port of either protocol: bind, accept, tick, drain, stop.

May import `errors`; knows nothing of what its connections speak.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Collection
from typing import Protocol

from naiad.errors import UnavailableError

_BACKLOG = 256
"""Plain asyncio also tries so often to accept before it notices that it has no file descriptor left."""


class ListenedConnection(Protocol):
    """What a listener asks of its connections."""

    def drain(self) -> None:
        """Take no further request; close once those that have begun are answered."""

    def abort(self) -> None:
        """Cut the connection."""

    def check_time(self, now_s: float) -> None:
        """Do what is due at `now_s`."""


class ListenerState(Protocol):
    """What a listener shares with its connections, which enter and leave `connections` by themselves."""

    draining: bool
    now_s: float
    on_empty: Callable[[], None] | None

    @property
    def connections(self) -> Collection[ListenedConnection]:
        """The open ones."""


class Listener:
    """Accepts connections, made by `make_connection`, on one address and port, and looks at the clock for them.

    In turn: `start`, `drain`, `drained`, `stop`. All on one event loop, any asyncio one. `tick_s` is how often the
    connections' time limits are looked at.
    """

    def __init__(
        self, state: ListenerState, make_connection: Callable[[], asyncio.BaseProtocol], tick_s: float
    ) -> None:
        self._state = state
        self._make_connection = make_connection
        self._tick_s = tick_s
        self._server: asyncio.Server | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is bound; 0 before `start`."""
        return self._port

    @property
    def connection_count(self) -> int:
        """The number of open connections."""
        return len(self._state.connections)

    async def start(
        self, address: str, port: int, *, reuse_port: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen, inside TLS with a `tls`; port 0 takes a free one.

        Raises:
            UnavailableError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._make_connection,
                address,
                port,
                backlog=_BACKLOG,
                reuse_port=reuse_port or None,
                ssl=tls,
            )
        except OSError as error:
            raise UnavailableError(_binding_failure(address, port, error)) from error
        self._port = self._server.sockets[0].getsockname()[1]
        self._on_tick()

    def drain(self) -> None:
        """Accept no more; let requests that have begun be answered, then close their connections."""
        self._stop_listening()
        self._state.draining = True
        for connection in tuple(self._state.connections):
            connection.drain()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until the last connection is closed; return False if some are open after `timeout_s`."""
        state = self._state
        state.on_empty = self._empty.set
        if not state.connections:
            return True
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Cut what is still open and end."""
        self.drain()
        for connection in tuple(self._state.connections):
            connection.abort()
        await self.drained(1.0)
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _on_tick(self) -> None:
        """Let every connection look at the clock."""
        loop = asyncio.get_running_loop()
        state = self._state
        state.now_s = loop.time()
        for connection in tuple(state.connections):
            connection.check_time(state.now_s)
        self._tick = loop.call_later(self._tick_s, self._on_tick)


def _binding_failure(address: str, port: int, error: OSError) -> str:
    """Return what to tell whoever wanted to listen there."""
    where = f"cannot listen on {address}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is in use; stop what listens there, or choose another port (0 takes a free one)"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{where}: this machine doesn't have that address; use 127.0.0.1, or 0.0.0.0 for all interfaces"
    if error.errno == errno.EACCES:
        return f"{where}: no permission; choose a port above 1023"
    return f"{where}: {error.strerror or error}"
