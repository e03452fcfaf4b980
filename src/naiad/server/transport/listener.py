# SPDX-License-Identifier: Apache-2.0
"""A listening port of either protocol: bind, accept, tick, drain, stop; and what it shares with its connections.

May import `errors`; knows nothing of what its connections speak.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from naiad.errors import UnavailableError

RECEIVE_BYTES = 64 * 1024
"""The most that is received at a time, unless it goes straight to its place."""

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


ConnectionT = TypeVar("ConnectionT", bound=ListenedConnection)


class ListenerState(Generic[ConnectionT]):
    """What a listener shares with its connections, which `enter` and `leave` by themselves; for the loop's thread only.

    `now_s` is the time of the last tick. `receive_buffer`, and `receive_view` of it, can be shared because a transport
    fills it and hands it over within one callback. Each protocol adds what its own connections share.
    """

    __slots__ = ("connections", "draining", "now_s", "on_empty", "receive_buffer", "receive_view")

    def __init__(self) -> None:
        self.connections: set[ConnectionT] = set()
        self.draining = False
        self.now_s = 0.0
        self.on_empty: Callable[[], None] | None = None
        self.receive_buffer = bytearray(RECEIVE_BYTES)
        # asyncio's TLS fills slices of what it is given, and those of a bytearray are copies.
        self.receive_view = memoryview(self.receive_buffer)

    def enter(self, connection: ConnectionT) -> None:
        """Count a connection that is open now."""
        self.connections.add(connection)

    def leave(self, connection: ConnectionT) -> None:
        """Count it no longer, and tell who waits for the last one."""
        self.connections.discard(connection)
        if not self.connections and self.on_empty is not None:
            self.on_empty()


class Listener(Generic[ConnectionT]):
    """Accepts connections, made by `make_connection`, on one address and port, and looks at the clock for them.

    In turn: `start`, `drain`, `drained`, `stop`. All on one event loop, any asyncio one. `tick_s` is how often the
    connections' time limits are looked at.
    """

    def __init__(
        self, state: ListenerState[ConnectionT], make_connection: Callable[[], asyncio.BaseProtocol], tick_s: float
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
        self,
        address: str,
        port: int,
        *,
        service: str = "http",
        reuse_port: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Listen, inside TLS with a `tls`; port 0 takes a free one. `service` is what the flags to change begin with.

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
            raise UnavailableError(_binding_failure(service, address, port, error)) from error
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


def _binding_failure(service: str, address: str, port: int, error: OSError) -> str:
    """Return what to tell whoever wanted to listen there."""
    where = f"cannot listen on {address}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where}: the port is in use; stop what listens there, or choose another with --{service}-port (0 takes a "
            "free one)"
        )
    # asyncio since Python 3.13 gives no number when none of the name's addresses is this machine's.
    if error.errno in (errno.EADDRNOTAVAIL, None) or isinstance(error, socket.gaierror):
        return (
            f"{where}: this machine doesn't have that address; use --{service}-address=127.0.0.1, or 0.0.0.0 for all "
            "interfaces"
        )
    if error.errno == errno.EACCES:
        return f"{where}: no permission; choose a port above 1023 with --{service}-port"
    return f"{where}: {error.strerror or error}"
