# SPDX-License-Identifier: Apache-2.0
"""Frames that steer a connection: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, and those that mean nothing here.

May import `frames`, `stream_table`, `floods`, `limits` and `faults`.
"""

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.floods import FloodGuard
from naiad.protocol.http2.frames import ACK, MAX_WINDOW_BYTES
from naiad.protocol.http2.limits import PingPolicy
from naiad.protocol.http2.stream_table import StreamTable


class ControlFrames:
    """Reads control frames; each method gets a whole one, and raises `ConnectionFailedError` if it is no good.

    `settled` says that the client's first SETTINGS have come. `acknowledged_pings` counts the answers to our pings.
    """

    __slots__ = (
        "_floods",
        "_last_ping_s",
        "_ping_strikes",
        "_pings",
        "_responses_at_ping",
        "_table",
        "acknowledged_pings",
        "settled",
    )

    def __init__(self, table: StreamTable, floods: FloodGuard, pings: PingPolicy) -> None:
        self.settled = False
        self.acknowledged_pings = 0
        self._table = table
        self._floods = floods
        self._pings = pings
        self._last_ping_s: float | None = None
        self._ping_strikes = 0
        self._responses_at_ping = 0

    # -- the connection

    def on_settings(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a SETTINGS frame (RFC 9113 §6.5)."""
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if len(payload):
                raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS is empty")
            self._floods.count_control()
            return
        if len(payload) % 6:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a size that is no multiple of 6")
        self.settled = True
        self._floods.count_control()
        windows: list[int] = []
        for setting, value in frames.read_settings(payload):
            if setting == frames.INITIAL_WINDOW_SIZE:
                windows.append(value)
            else:
                self._apply(setting, value)
        if windows:
            self._move_windows(max(windows), windows[-1])
        outbox = self._table.outbox
        outbox.send_control(frames.SETTINGS_ACK)
        # Only now: until the client has the acknowledgement it counts with the windows from before.
        outbox.send_waiting()

    def _move_windows(self, largest: int, last: int) -> None:
        """Move the windows of all streams, once for all new values of a frame, which may be thousands."""
        if largest > MAX_WINDOW_BYTES:
            raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is too large")
        outbox = self._table.outbox
        before, outbox.stream_window = outbox.stream_window, last
        for stream in self._table.open.values():
            if stream.window + largest - before > MAX_WINDOW_BYTES:
                raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window grows too large")
            stream.window += last - before
            outbox.note_window(stream)

    def _apply(self, setting: int, value: int) -> None:
        outbox = self._table.outbox
        if setting == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_BYTES <= value < 2**24:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of its range")
            outbox.set_frame_bytes(value)
        elif setting == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is neither 0 nor 1")
        elif setting == frames.HEADER_TABLE_SIZE and value < frames.DEFAULT_HEADER_TABLE_BYTES:
            outbox.forget_table()

    def on_ping(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a PING frame (RFC 9113 §6.7)."""
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "PING of a size that is not 8")
        self._floods.count_control()
        if flags & ACK:
            self.acknowledged_pings += 1
            return
        self._count_ping()
        self._table.outbox.send_control(frames.frame(frames.PING, ACK, 0, bytes(payload)))

    def _count_ping(self) -> None:
        """Count strikes as gRPC servers do (gRFC A8)."""
        responses_sent, now_s = self._table.outbox.responses_sent, self._floods.now_s
        if responses_sent != self._responses_at_ping:
            self._ping_strikes, self._last_ping_s = 0, None
        self._responses_at_ping = responses_sent
        last_s, self._last_ping_s = self._last_ping_s, now_s
        policy = self._pings
        interval_s = policy.min_interval_s if self._table.open else policy.min_idle_interval_s
        if last_s is None or now_s - last_s >= interval_s or not policy.max_strikes:
            return
        self._ping_strikes += 1
        if self._ping_strikes > policy.max_strikes:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def on_goaway(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a GOAWAY frame (RFC 9113 §6.8), which changes nothing: a client that leaves opens no more streams."""
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of fewer than 8 bytes")
        self._floods.count_control()

    # -- streams

    def on_window_update(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a WINDOW_UPDATE frame (RFC 9113 §6.9)."""
        if len(payload) != 4:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a size that is not 4")
        table = self._table
        increment = int.from_bytes(payload) & MAX_WINDOW_BYTES
        if not stream_id:
            if not increment:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            table.outbox.widen(increment)
            return
        stream = table.open.get(stream_id)
        if stream is None:
            table.check_not_idle(stream_id, frames.WINDOW_UPDATE)
            return
        stream.window += increment
        if not increment or stream.window > MAX_WINDOW_BYTES:
            code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
            table.reset_for_fault(stream_id, code)
        elif stream.waiting_bytes:
            table.outbox.note_window(stream)
            table.outbox.send_waiting()

    def on_rst_stream(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a RST_STREAM frame (RFC 9113 §6.4)."""
        if len(payload) != 4:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a size that is not 4")
        stream = self._table.open.get(stream_id)
        if stream is None:
            self._table.check_not_idle(stream_id, frames.RST_STREAM)
            self._floods.count_control()
            return
        self._floods.count_reset()
        self._table.forget(stream)
        stream.lose()

    # -- what a client may send and has no use, and what it may not

    def on_priority(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a PRIORITY frame (RFC 9113 §6.3), which is obsolete."""
        if not stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on no stream")
        self._floods.count_control()
        if len(payload) != 5:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a size that is not 5")

    def on_push_promise(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a PUSH_PROMISE frame (RFC 9113 §6.6)."""
        raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    def on_unknown(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Pass over a frame of an unknown type (RFC 9113 §5.5)."""
        self._floods.count_control()
