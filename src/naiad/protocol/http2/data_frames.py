# SPDX-License-Identifier: Apache-2.0
"""Bodies coming in: DATA frames as they arrive, also in the middle, and the windows that let the client send.

May import `frames`, `streams`, `stream_table`, `floods`, `limits` and `faults`.
"""

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode, StreamFailedError
from naiad.protocol.http2.floods import FloodGuard
from naiad.protocol.http2.frames import END_STREAM, PADDED
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.stream_table import StreamTable
from naiad.protocol.http2.streams import Stream


class DataFrames:
    """Reads DATA frames, one after the other.

    `is_open` says that a frame has begun and not ended. `ended` counts those that have.
    """

    __slots__ = (
        "_data_left",
        "_ends_request",
        "_floods",
        "_limits",
        "_pad_left",
        "_size",
        "_table",
        "_uncredited_bytes",
        "_window",
        "ended",
        "is_open",
    )

    def __init__(self, table: StreamTable, floods: FloodGuard, limits: Http2Limits) -> None:
        self.is_open = False
        self.ended = 0
        self._table = table
        self._floods = floods
        self._limits = limits
        self._size = 0
        self._data_left = 0
        self._pad_left = 0
        self._ends_request = False
        self._window = limits.connection_window_bytes
        self._uncredited_bytes = 0

    # -- the frame

    def begin(self, stream_id: int, size: int, padding: int, flags: int) -> None:
        """Begin a DATA frame of `size` bytes, of which `padding` lie behind the data; with it goes their count byte.

        Raises:
            ConnectionFailedError: the frame is no good.
        """
        self._window -= size
        if self._window < 0:
            raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        ends = bool(flags & END_STREAM)
        self.is_open = True
        self._size = size
        self._ends_request = ends
        self._pad_left = padding
        self._data_left = size - padding - (1 if flags & PADDED else 0)
        try:
            self._table.receiving = self._receiver(stream_id, size)
        except StreamFailedError as fault:
            self._table.receiving = None
            self._table.reset_for_fault(stream_id, fault.code)
        if not self._data_left and not ends:
            self._floods.count_control()

    def _receiver(self, stream_id: int, size: int) -> Stream | None:
        """Return the stream that a DATA frame is for; None for one that was reset a moment ago."""
        stream = self._table.open.get(stream_id)
        if stream is None:
            self._table.check_not_idle(stream_id, frames.DATA)
            if not self._table.was_reset(stream_id):
                raise StreamFailedError(ErrorCode.STREAM_CLOSED, "DATA on a closed stream")
            return None
        if stream.remote_closed:
            raise StreamFailedError(ErrorCode.STREAM_CLOSED, "DATA after the end of the request")
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFailedError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window allows")
        if stream.expected_bytes is not None:
            self._count_expected(stream, stream.expected_bytes - self._data_left)
        return stream

    def _count_expected(self, stream: Stream, left: int) -> None:
        """Hold the body against the request's content-length (RFC 9113 §8.1.1)."""
        stream.expected_bytes = left
        if left < 0 or (self._ends_request and left):
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "the body is not as long as content-length says")

    def read(self, view: memoryview, position: int, end: int) -> int:
        """Take what there is of the frame that has begun; return the new position."""
        if self._data_left:
            count = min(self._data_left, end - position)
            if count:
                self._data_left -= count
                stream = self._table.receiving
                if stream is not None and stream.sink is not None:
                    stream.sink.append(view[position : position + count])
                position += count
            if self._data_left:
                return position
        if self._pad_left:
            skipped = min(self._pad_left, end - position)
            self._pad_left -= skipped
            position += skipped
            if self._pad_left:
                return position
        self._end()
        return position

    def room(self, least_bytes: int) -> memoryview | None:
        """Return where the next bytes can be received directly; None unless at least so many of a body come next."""
        stream = self._table.receiving
        if self._data_left < least_bytes or stream is None or stream.sink is None:
            return None
        return stream.sink.room(self._data_left)

    def passed_by(self, count: int) -> None:
        """Count `count` bytes of a body that were received in `room`."""
        stream = self._table.receiving
        self._data_left -= count
        if stream is not None and stream.sink is not None:
            stream.sink.advance(count)
        if not self._data_left and not self._pad_left:
            self._end()

    def drop(self) -> None:
        """Expect no more of the frame that has begun: the connection is gone."""
        self.is_open = False
        self._data_left = 0

    def _end(self) -> None:
        """Finish a frame: let the client send as much again, and tell the sink if it was the last."""
        self.is_open = False
        self.ended += 1
        table, size = self._table, self._size
        self._uncredited_bytes += size
        if self._uncredited_bytes * 2 >= self._limits.connection_window_bytes:
            table.outbox.buffers.append(frames.window_update(0, self._uncredited_bytes))
            self._window += self._uncredited_bytes
            self._uncredited_bytes = 0
        stream, table.receiving = table.receiving, None
        if stream is None:
            return
        stream.uncredited_bytes += size
        if self._ends_request:
            stream.end_request()
        elif stream.uncredited_bytes * 2 >= self._limits.stream_window_bytes:
            self._credit(stream)

    # -- the windows of streams

    def hold_back(self, stream: Stream, holds_back: bool) -> None:
        """Keep a client from sending more on a stream than its window allows now, or let it go on."""
        if stream.holds_back is not holds_back:
            stream.holds_back = holds_back
            if not holds_back and stream.id in self._table.open:
                self._credit(stream)

    def _credit(self, stream: Stream) -> None:
        if stream.holds_back or stream.remote_closed or not stream.uncredited_bytes:
            return
        self._table.outbox.buffers.append(frames.window_update(stream.id, stream.uncredited_bytes))
        stream.receive_window += stream.uncredited_bytes
        stream.uncredited_bytes = 0
