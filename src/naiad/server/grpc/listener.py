# SPDX-License-Identifier: Apache-2.0
"""A listening gRPC port: bind, accept, tick, drain, stop.

May import its neighbours `connection` and `call`, `server`'s `bodies` and `slow_work`, and `http.listener`.
"""

import asyncio
import ssl

from naiad.errors import UnavailableError
from naiad.server.bodies import BodyBudget
from naiad.server.grpc.call import Methods
from naiad.server.grpc.connection import CallCheck, GrpcConnection, GrpcSettings, ServerState
from naiad.server.http.listener import binding_failure
from naiad.server.slow_work import SlowWork

_BACKLOG = 256


class GrpcServer:
    """Serves `methods` on one address and port; `check_call` may refuse calls before their messages are read.

    In turn: `start`, `drain`, `drained`, `stop`. All on one event loop, any asyncio one.
    """

    def __init__(
        self,
        methods: Methods,
        settings: GrpcSettings,
        budget: BodyBudget,
        slow_work: SlowWork,
        check_call: CallCheck | None = None,
    ) -> None:
        self._state = ServerState(methods, settings, budget, slow_work, check_call)
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
        """Listen; port 0 takes a free one.

        Raises:
            UnavailableError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: GrpcConnection(self._state),
                address,
                port,
                backlog=_BACKLOG,
                reuse_port=reuse_port or None,
                ssl=tls,
            )
        except OSError as error:
            raise UnavailableError(binding_failure(address, port, error)) from error
        self._port = self._server.sockets[0].getsockname()[1]
        self._on_tick()

    def drain(self) -> None:
        """Accept no more: tell clients to leave, let calls that have begun be answered, then close."""
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
        self._tick = loop.call_later(state.settings.times.tick_s, self._on_tick)
