# SPDX-License-Identifier: Apache-2.0
"""The state machine of one HTTP/2 connection, server side (RFC 9113), without sockets or asyncio.

The connection cuts what comes into frames and hands each to its reader: `data_frames`, `header_frames` or
`control_frames`. They share the `stream_table`.

The owner gives `receive` what has come, and sends what `take_output` returns. Each new request is handed to `accept`,
which gives its stream a sink; the sink gets the body as it comes, also in the middle of a frame. A large body can be
received right where it belongs: the owner asks `room` for the place and reports to `passed_by`.

What the client does wrong ends its stream (RST_STREAM) or the connection (GOAWAY, then `is_broken`), never more. Time
comes from outside: the owner sets `now_s`.
May import its neighbours in this folder.
"""

from collections.abc import Callable, Sequence

from naiad.protocol.http2 import frames
from naiad.protocol.http2.control_frames import ControlFrames
from naiad.protocol.http2.data_frames import DataFrames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.floods import FloodGuard
from naiad.protocol.http2.frames import HEADER, HEADER_BYTES, MAX_STREAM_ID, PADDED, PREFACE
from naiad.protocol.http2.greeting import HTTP1_ANSWER, Greeting, first_frames, read_greeting
from naiad.protocol.http2.header_frames import HeaderFrames
from naiad.protocol.http2.limits import Http2Limits, PingPolicy
from naiad.protocol.http2.stream_table import StreamTable
from naiad.protocol.http2.streams import Buffer, Stream


class Connection:
    """See the module.

    `is_broken` says that nothing more is read, and the transport is to be closed once all is sent.
    """

    def __init__(
        self,
        accept: Callable[[Stream], None],
        limits: Http2Limits | None = None,
        pings: PingPolicy | None = None,
        now_s: float = 0.0,
    ) -> None:
        limits = limits or Http2Limits()
        self.is_broken = False
        self._limits = limits
        self._floods = FloodGuard(limits, now_s)
        self._table = StreamTable(limits, self._floods)
        self._outbox = self._table.outbox
        self._data = DataFrames(self._table, self._floods, limits)
        self._headers = HeaderFrames(self._table, limits, accept)
        self._controls = ControlFrames(self._table, self._floods, pings or PingPolicy())
        self._readers: dict[int, Callable[[int, int, memoryview], None]] = {
            frames.HEADERS: self._headers.on_headers,
            frames.PRIORITY: self._controls.on_priority,
            frames.RST_STREAM: self._controls.on_rst_stream,
            frames.SETTINGS: self._controls.on_settings,
            frames.PUSH_PROMISE: self._controls.on_push_promise,
            frames.PING: self._controls.on_ping,
            frames.GOAWAY: self._controls.on_goaway,
            frames.WINDOW_UPDATE: self._controls.on_window_update,
            frames.CONTINUATION: self._headers.on_continuation,
        }
        self._kept = bytearray()
        self._greeted = False
        self._introduced = False
        self._whole_frames = 0

    # -- what the owner may know

    @property
    def now_s(self) -> float:
        """The time that the owner has set, in seconds."""
        return self._floods.now_s

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        self._floods.now_s = now_s

    @property
    def streams(self) -> dict[int, Stream]:
        """The open streams by id."""
        return self._table.open

    @property
    def acknowledged_pings(self) -> int:
        """How many answers to `ping` have come."""
        return self._controls.acknowledged_pings

    @property
    def received_frames(self) -> int:
        """How many frames have come to their end."""
        return self._whole_frames + self._data.ended

    @property
    def responses_sent(self) -> int:
        """How many frames of responses were sent."""
        return self._outbox.responses_sent

    @property
    def is_mid_frame(self) -> bool:
        """Whether a frame or a header block has begun and not ended, or the connection has not begun at all."""
        return bool(self._kept) or self._data.is_open or self._headers.open_id != 0 or not self._controls.settled

    @property
    def is_receiving_data(self) -> bool:
        """Whether a DATA frame has begun and not ended."""
        return self._data.is_open

    # -- bytes in and out

    @property
    def has_output(self) -> bool:
        """Whether there is something to send."""
        return bool(self._outbox.buffers)

    def take_output(self) -> list[Buffer]:
        """Return what is to be sent, in order, and forget it."""
        out, self._outbox.buffers = self._outbox.buffers, []
        return out

    def receive(self, data: memoryview) -> None:
        """Take what has come; `data` is not needed after the call."""
        if self.is_broken:
            return
        try:
            if self._kept:
                self._kept += data
                whole = memoryview(self._kept)
            else:
                whole = data
            used = self._read(whole)
            self._kept = bytearray(whole[used:]) if used < len(whole) else bytearray()
        except ConnectionFailedError as fault:
            self.fail(fault.code, str(fault))

    def room(self, least_bytes: int) -> memoryview | None:
        """Return where the next bytes can be received directly; None unless at least so many of a body come next."""
        return None if self._kept or self.is_broken else self._data.room(least_bytes)

    def passed_by(self, count: int) -> None:
        """Count `count` bytes of a body that were received in `room`."""
        self._data.passed_by(count)

    def hold_back(self, stream: Stream, holds_back: bool) -> None:
        """Keep a client from sending more on a stream than its window allows now, or let it go on."""
        self._data.hold_back(stream, holds_back)

    def hold(self) -> None:
        """Send no bodies until `release`: the transport is full."""
        self._outbox.hold()

    def release(self) -> None:
        """Send bodies again; the transport has room."""
        self._outbox.release()

    # -- responses

    def respond(
        self, stream: Stream, headers: bytes, buffers: Sequence[Buffer], size_bytes: int, trailers: bytes
    ) -> None:
        """Send a whole response of header block, data and trailer block."""
        outbox = self._outbox
        outbox.send_headers(stream, headers)
        outbox.send_data(stream, buffers, size_bytes)
        outbox.send_trailers(stream, trailers)

    def send_headers(self, stream: Stream, block: bytes) -> None:
        """Begin the response; `block` is at most 16 KiB, written by `encode_fields`."""
        self._outbox.send_headers(stream, block)

    def send_data(self, stream: Stream, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Go on with the response: `buffers` hold `size_bytes`, and must not change until they are sent."""
        self._outbox.send_data(stream, buffers, size_bytes)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """End the response, once all data has gone."""
        self._outbox.send_trailers(stream, block)

    # -- the end

    def fail(self, code: ErrorCode, text: str = "") -> None:
        """End the connection: GOAWAY, all streams lost."""
        if self.is_broken:
            return
        self._put(frames.goaway(self._table.highest_id, code, text))
        self.lose()

    def lose(self) -> None:
        """Note that the connection is gone."""
        self.is_broken = True
        self._kept = bytearray()
        self._data.drop()
        self._table.lose_all()

    def announce_leaving(self) -> None:
        """Tell the client to open no more streams, while those it opens anyway are still served."""
        self._put(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR, "leaving"))

    def leave(self) -> None:
        """Refuse streams from now on; those that were opened go on to their end."""
        table = self._table
        table.last_accepted_id = table.highest_id
        self._put(frames.goaway(table.highest_id, ErrorCode.NO_ERROR, "leaving"))

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        self._put(frames.frame(frames.PING, 0, 0, b"keepaliv"))

    def check_stalls(self) -> None:
        """Reset streams whose client takes too little of what waits; call it now and then."""
        if self._outbox.is_held:
            return  # the owner looks after a transport that is full
        try:
            for stream in self._outbox.stalled(self.now_s):
                self._table.reset_for_fault(stream.id, ErrorCode.ENHANCE_YOUR_CALM)
        except ConnectionFailedError as fault:
            self.fail(fault.code, str(fault))

    def _put(self, frame: bytes) -> None:
        if self.is_broken:
            return
        self._introduce()
        self._outbox.buffers.append(frame)

    def _introduce(self) -> None:
        """Send the settings, unless they are sent; nothing may go before them, not even a farewell (RFC 9113 §3.4)."""
        if not self._introduced:
            self._introduced = True
            self._outbox.buffers.append(first_frames(self._limits))

    # -- frames coming in

    def _read(self, view: memoryview) -> int:
        """Read frames; return how many bytes were used."""
        position, end = 0, len(view)
        if not self._greeted:
            if not self._greet(view):
                return 0
            position = len(PREFACE)
        data = self._data
        while not self.is_broken:
            if data.is_open:
                position = data.read(view, position, end)
                if data.is_open:
                    return position
            if end - position < HEADER_BYTES:
                return position
            high, low, kind, flags, stream_id = HEADER.unpack_from(view, position)
            size = high << 16 | low
            stream_id &= MAX_STREAM_ID
            self._check_frame(kind, size, stream_id)
            start = position + HEADER_BYTES
            if kind == frames.DATA:
                if not flags & PADDED:
                    data.begin(stream_id, size, 0, flags)
                    position = start
                    continue
                if end == start and size:
                    return position
                if not size or view[start] >= size:
                    raise ConnectionFailedError(
                        ErrorCode.PROTOCOL_ERROR, "the padding of a DATA frame exceeds the frame"
                    )
                data.begin(stream_id, size, view[start], flags)
                position = start + 1
                continue
            stop = start + size
            if stop > end:
                return position
            self._readers.get(kind, self._controls.on_unknown)(stream_id, flags, view[start:stop])
            self._whole_frames += 1
            position = stop
        return end

    def _greet(self, view: memoryview) -> bool:
        greeting = read_greeting(view)
        if greeting is Greeting.HTTP2:
            self._greeted = True
            self._introduce()
        elif greeting is Greeting.HTTP1:
            self._outbox.buffers = [HTTP1_ANSWER]
            self.lose()
        return self._greeted

    def _check_frame(self, kind: int, size: int, stream_id: int) -> None:
        limits = self._limits
        if size > limits.max_frame_bytes:
            raise ConnectionFailedError(
                ErrorCode.FRAME_SIZE_ERROR, f"frame of {size} bytes, expected at most {limits.max_frame_bytes}"
            )
        if kind != frames.DATA and size > max(limits.header_block_bytes + 256, frames.DEFAULT_FRAME_BYTES):
            raise ConnectionFailedError(
                ErrorCode.ENHANCE_YOUR_CALM, f"frame of type {kind} and {size} bytes, expected at most 16384"
            )
        open_id = self._headers.open_id
        if open_id and (kind != frames.CONTINUATION or stream_id != open_id):
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted by another frame")
        if not self._controls.settled and kind != frames.SETTINGS:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
