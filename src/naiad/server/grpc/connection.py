# SPDX-License-Identifier: Apache-2.0
"""One client connection: an `asyncio` protocol between a transport, the HTTP/2 state machine and the calls.

The rules of this file:
- What comes passes through the listener's one receive buffer, except for large messages, which go from the socket to
  their place.
- What is to be sent is written once for all that one callback has done.
- No timers here: the listener's tick calls `check_time`.
- After an error the connection lingers: were it closed at once, the kernel would send a reset, and the client might
  never see why.
May import `errors`, `protocol`, `transport` and its neighbours.
"""

import asyncio
import random
from collections.abc import Callable
from typing import cast

from naiad.errors import NaiadError, UnavailableError
from naiad.protocol.grpc.call import (
    ACCEPTED_ENCODINGS,
    CallHead,
    GrpcError,
    GrpcStatus,
    NotGrpcError,
    UnknownEncodingError,
    http_status_only,
    read_call,
    status_of,
    trailers_only,
)
from naiad.protocol.http2.connection import Connection as Http2Connection
from naiad.protocol.http2.faults import ErrorCode
from naiad.protocol.http2.streams import Stream
from naiad.server.grpc.call import Call
from naiad.server.grpc.liveness import Liveness
from naiad.server.grpc.method import Methods
from naiad.server.grpc.settings import GrpcSettings, TimeLimits
from naiad.server.transport.access import Lock
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.listener import RECEIVE_BYTES, ListenerState
from naiad.server.transport.slow_work import SlowWork
from naiad.server.transport.unsent import UnsentWatch

_JOINED_BYTES = 32 * 1024
"""Up to here copying what is to be sent into one buffer is cheaper than a vectored write."""

_SHUTTING_DOWN = "GRPC server is shutting down and has stopped accepting new requests."


CallCheck = Callable[[CallHead], None]
"""Raises a `NaiadError` for a call that is to be refused before its messages are read."""


class GrpcState(ListenerState["GrpcConnection"]):
    """What the connections of one listener share."""

    __slots__ = ("budget", "check_call", "methods", "settings", "slow_work")

    def __init__(
        self,
        methods: Methods,
        settings: GrpcSettings,
        budget: BodyBudget,
        slow_work: SlowWork,
        check_call: CallCheck | None = None,
    ) -> None:
        super().__init__()
        self.methods = methods
        self.check_call = check_call
        self.settings = settings
        self.budget = budget
        self.slow_work = slow_work


class GrpcConnection(asyncio.BufferedProtocol):
    """See the module's rules; the methods up to `resume_writing` are asyncio's."""

    def __init__(self, state: GrpcState) -> None:
        self._state = state
        settings = state.settings
        self.budget = state.budget
        self.slow_work = state.slow_work
        self.response_level = settings.response_level
        self.http2 = Http2Connection(self._accept, settings.limits, settings.pings, state.now_s)
        self._transport = cast(asyncio.Transport, None)
        self._direct = False
        self._busy = False
        self._flushing = False
        self._write_paused = False
        self._reading_paused = False
        self._closing = False
        self._since_s = state.now_s
        self._unsent = UnsentWatch()
        self._liveness = Liveness(self.http2, settings.keepalive, state.now_s)
        self._awaited_pings = 0
        self._announced_s: float | None = None
        self._left = False
        self._ages_s = _age(settings.max_connection_age_s)

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the transport, or refuse it when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        state = self._state
        state.enter(self)
        most = state.settings.max_connections
        if len(state.connections) > most:
            self.http2.fail(ErrorCode.ENHANCE_YOUR_CALM, f"the server has {most} connections already")
        self._flush()
        if state.draining:
            self.drain()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; the client has gone."""
        self._closing = True
        self.http2.lose()
        self._state.leave(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the transport is to put what it receives."""
        room = self.http2.room(RECEIVE_BYTES)
        if room is not None:
            self._direct = True
            return room
        self._direct = False
        return self._state.receive_view

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come."""
        self._busy = True
        if self._direct:
            self.http2.passed_by(nbytes)
        else:
            self.http2.receive(self._state.receive_view[:nbytes])
        self._busy = False
        self._settle()

    def eof_received(self) -> bool:
        """Treat the end of the client's stream as its leaving."""
        self.http2.lose()
        return False

    def pause_writing(self) -> None:
        """Send no messages until the client has taken what there is."""
        self._write_paused = True
        self._unsent.begin(self._transport, self._state.now_s)
        self.http2.hold()

    def resume_writing(self) -> None:
        """Go on sending."""
        self._write_paused = False
        self.http2.release()
        self._settle()

    # -- calls

    def _accept(self, stream: Stream) -> None:
        """Begin a call; its stream gets it as its sink, or an answer at once."""
        try:
            head = read_call(stream.head)
            if self._state.draining:
                raise UnavailableError(_SHUTTING_DOWN)
            if self._state.check_call is not None:
                self._state.check_call(head)
            method = self._state.methods.get(head.path)
            if method is None:
                raise GrpcError(GrpcStatus.UNIMPLEMENTED, "")
            if method.lock is not None:
                _check_lock(method.lock, head)
        except NotGrpcError as error:
            self.http2.send_trailers(stream, http_status_only(error.http_status))
        except UnknownEncodingError as error:
            self.http2.send_trailers(stream, trailers_only(error.status, str(error)) + ACCEPTED_ENCODINGS)
        except NaiadError as error:
            self.http2.send_trailers(stream, trailers_only(status_of(error), str(error)))
        else:
            stream.sink = Call(self, stream, head, method)

    # -- going out

    def flush_soon(self) -> None:
        """Send what there is to send, before the loop waits again."""
        if not (self._busy or self._flushing):
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._settle)

    def soon(self, step: Callable[[], None]) -> None:
        """Call `step` once others have had their turn on the loop."""
        asyncio.get_running_loop().call_soon(step)

    def _settle(self) -> None:
        """Send what there is to send, and close when that was all."""
        self._flushing = False
        self._flush()
        if self.http2.is_broken:
            self._linger()
        elif self._announced_s is not None:
            self._leave_when_told()
        if self._write_paused or self._reading_paused:
            self._regulate_reading()

    def _flush(self) -> None:
        if not self.http2.has_output or self._transport.is_closing():
            return
        buffers = self.http2.take_output()
        if len(buffers) == 1:
            self._transport.write(buffers[0])
        elif sum(map(len, buffers)) <= _JOINED_BYTES:
            self._transport.write(b"".join(buffers))
        else:
            self._transport.writelines(buffers)

    def _regulate_reading(self) -> None:
        """Read nothing while too much waits for a client that doesn't read."""
        waiting = self._transport.get_write_buffer_size()
        waiting += sum(stream.waiting_bytes for stream in self.http2.streams.values())
        too_much = self._write_paused and waiting > self._state.settings.paused_bytes
        if too_much is self._reading_paused:
            return
        self._reading_paused = too_much
        if too_much:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    # -- the end

    def _linger(self) -> None:
        """Half-close, and drop what still comes until the client closes too, or its time is over."""
        if self._closing:
            return
        self._closing = True
        self._since_s = self._state.now_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def drain(self) -> None:
        """Tell the client to go elsewhere; close when its calls are done."""
        if self._announced_s is not None or self.http2.is_broken:
            return
        self._announced_s = self._state.now_s
        self._awaited_pings = self.http2.acknowledged_pings + 1
        self.http2.announce_leaving()
        self.http2.ping()
        self._settle()

    def _leave_when_told(self) -> None:
        """Open no more streams once the client knows, and close after the last one (RFC 9113 §6.8)."""
        if not self._left and self.http2.acknowledged_pings >= self._awaited_pings:
            self._leave()
        if self._left and not self.http2.streams and not self._closing:
            self._closing = True
            self._since_s = self._state.now_s
            self._unsent.begin(self._transport, self._state.now_s)
            self._transport.close()

    def _leave(self) -> None:
        self._left = True
        self.http2.leave()
        self._flush()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # -- time

    def check_time(self, now_s: float) -> None:
        """Do what is due at `now_s`; called at every tick."""
        http2, times = self.http2, self._state.settings.times
        http2.now_s = now_s
        if self._closing:
            if now_s - self._since_s > times.linger_s:
                self._cut_if_stuck(now_s, times.linger_s)
            return
        if self._write_paused:
            self._cut_if_stuck(now_s, times.stall_s)
        self._liveness.check_begun(now_s, times.begin_s)
        http2.check_stalls()
        for stream in tuple(http2.streams.values()):
            if isinstance(stream.sink, Call):
                stream.sink.check_progress(now_s, times.message_s, times.message_progress_bytes)
        self._check_age(now_s, times)
        if not self._liveness.check_alive(now_s):
            self.abort()
        if http2.has_output or http2.is_broken:
            self._settle()

    def _check_age(self, now_s: float, times: TimeLimits) -> None:
        if self._announced_s is None:
            if self._ages_s is not None and now_s - self._since_s > self._ages_s:
                self.drain()
            return
        if not self._left and now_s - self._announced_s > times.leave_s:
            self._leave()
        grace_s = self._state.settings.max_connection_age_grace_s
        if not self._state.draining and grace_s is not None and now_s - self._announced_s > grace_s:
            self.http2.fail(ErrorCode.NO_ERROR, "max_age")
            return
        self._leave_when_told()

    def _cut_if_stuck(self, now_s: float, limit_s: float) -> None:
        """Cut a client that takes nothing of what is sent; its memory is needed."""
        if self._unsent.is_stuck(self._transport, now_s, limit_s):
            self._transport.abort()


def _age(max_age_s: float | None) -> float | None:
    """Spread ages by a tenth, so that clients that came together don't leave together."""
    return None if max_age_s is None else max_age_s * random.uniform(0.9, 1.1)  # noqa: S311 - no secret


def _check_lock(lock: Lock, head: CallHead) -> None:
    """Raise Triton's error for a call that doesn't open the lock."""
    if not lock.opens(dict(head.metadata).get(lock.field_name.decode())):
        raise UnavailableError(f"This protocol is restricted, expecting header '{lock.header}'")
