# SPDX-License-Identifier: Apache-2.0
"""The state machine of one HTTP/2 connection, server side (RFC 9113), without sockets or asyncio.

The owner gives `receive` what has come, and sends what `take_output` returns. Each new request is handed to `accept`,
which gives its stream a sink; the sink gets the body as it comes, also in the middle of a frame. A large body can be
received right where it belongs: the owner asks `room` for the place and reports to `passed_by`.

What the client does wrong ends its stream (RST_STREAM) or the connection (GOAWAY, then `is_broken`), never more. Time
comes from outside: the owner sets `now_s`.
May import its neighbours in this folder.
"""

from collections.abc import Callable, Sequence

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode, StreamFailedError
from naiad.protocol.http2.floods import Bucket
from naiad.protocol.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_BYTES,
    MAX_STREAM_ID,
    MAX_WINDOW_BYTES,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
)
from naiad.protocol.http2.header_blocks import HeaderDecoder
from naiad.protocol.http2.limits import Http2Limits, PingPolicy
from naiad.protocol.http2.outbox import Outbox
from naiad.protocol.http2.streams import Buffer, Stream

_REMEMBERED_RESETS = 1024
_HTTP1_METHODS = frozenset((b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI"))
_HTTP1_TEXT = b"this port speaks gRPC, which is HTTP/2; HTTP/1.1 has a port of its own\n"
HTTP1_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_HTTP1_TEXT), _HTTP1_TEXT)
)
"""What a client of the wrong port is told, in its own language."""


class Connection:
    """See the module.

    `is_broken` says that nothing more is read, and the transport is to be closed once all is sent. `peer_is_leaving`
    says that the client sent GOAWAY. `acknowledged_pings` counts answers to `ping`, and `received_frames` all frames.
    """

    def __init__(
        self,
        accept: Callable[[Stream], None],
        limits: Http2Limits | None = None,
        pings: PingPolicy | None = None,
        now_s: float = 0.0,
    ) -> None:
        self.now_s = now_s
        self.is_broken = False
        self.peer_is_leaving = False
        self.acknowledged_pings = 0
        self.received_frames = 0
        self.streams: dict[int, Stream] = {}
        self._accept = accept
        self._limits = limits = limits or Http2Limits()
        self._pings = pings or PingPolicy()
        self._decoder = HeaderDecoder(limits)
        # -- in
        self._kept = bytearray()
        self._greeted = False
        self._settled = False
        self._highest_id = 0
        self._last_accepted_id = MAX_STREAM_ID
        self._data_stream: Stream | None = None
        self._data_size = 0
        self._data_left = 0
        self._pad_left = 0
        self._data_ends = False
        self._in_data = False
        self._block: bytearray | None = None
        self._block_stream_id = 0
        self._block_ends = False
        self._continuations = 0
        self._receive_window = limits.connection_window_bytes
        self._uncredited_bytes = 0
        self._reset_ids: dict[int, None] = {}
        self._resets = Bucket(limits.resets, now_s)
        self._controls = Bucket(limits.control_frames, now_s)
        self._refusals = Bucket(limits.refusals, now_s)
        self._last_ping_s: float | None = None
        self._ping_strikes = 0
        self._responses_at_ping = 0
        # -- out
        self._outbox = Outbox(limits, self._on_response_ended)

    def _first_settings(self) -> bytes:
        limits = self._limits
        first = frames.settings(
            (
                (frames.MAX_CONCURRENT_STREAMS, limits.concurrent_streams),
                (frames.INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
                (frames.MAX_FRAME_SIZE, limits.max_frame_bytes),
                (frames.MAX_HEADER_LIST_SIZE, limits.header_list_bytes),
            )
        )
        more = limits.connection_window_bytes - frames.DEFAULT_WINDOW_BYTES
        return first + frames.window_update(0, more) if more > 0 else first

    # -- the owner's side

    @property
    def has_output(self) -> bool:
        """Whether there is something to send."""
        return bool(self._outbox.buffers)

    def take_output(self) -> list[Buffer]:
        """Return what is to be sent, in order, and forget it."""
        out, self._outbox.buffers = self._outbox.buffers, []
        return out

    @property
    def responses_sent(self) -> int:
        """How many frames of responses were sent."""
        return self._outbox.responses_sent

    @property
    def is_mid_frame(self) -> bool:
        """Whether a frame or a header block has begun and not ended, or the connection has not begun at all."""
        return bool(self._kept) or self._in_data or self._block is not None or not self._settled

    @property
    def is_receiving_data(self) -> bool:
        """Whether a DATA frame has begun and not ended."""
        return self._in_data

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
        if self._data_left < least_bytes or self._data_stream is None or self._kept or self.is_broken:
            return None
        sink = self._data_stream.sink
        return None if sink is None else sink.room(self._data_left)

    def passed_by(self, count: int) -> None:
        """Count `count` bytes of a body that were received in `room`."""
        stream = self._data_stream
        self._data_left -= count
        if stream is not None and stream.sink is not None:
            stream.sink.advance(count)
        if not self._data_left and not self._pad_left:
            self._end_data()

    def hold(self) -> None:
        """Send no bodies until `release`: the transport is full."""
        self._outbox.hold()

    def release(self) -> None:
        """Send bodies again; the transport has room."""
        self._outbox.release()

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

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream at once; its sink isn't told."""
        if stream.id not in self.streams:
            return
        self._remember_reset(stream.id)
        self._put(frames.rst_stream(stream.id, code))
        self._forget(stream)
        stream.sink = None

    def fail(self, code: ErrorCode, text: str = "") -> None:
        """End the connection: GOAWAY, all streams lost."""
        if self.is_broken:
            return
        self._put(frames.goaway(self._highest_id, code, text))
        self.lose()

    def lose(self) -> None:
        """Note that the connection is gone."""
        self.is_broken = True
        self._kept = bytearray()
        self._in_data = False
        self._data_left = 0
        self._data_stream = None
        streams = list(self.streams.values())
        self.streams.clear()
        self._outbox.waiting.clear()
        for stream in streams:
            self._tell_reset(stream)

    def announce_leaving(self) -> None:
        """Tell the client to open no more streams, while those it opens anyway are still served."""
        self._put(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR, "leaving"))

    def leave(self) -> None:
        """Refuse streams from now on; those that were opened go on to their end."""
        self._last_accepted_id = self._highest_id
        self._put(frames.goaway(self._highest_id, ErrorCode.NO_ERROR, "leaving"))

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        self._put(frames.frame(frames.PING, 0, 0, b"keepaliv"))

    def _put(self, frame: bytes) -> None:
        self._outbox.buffers.append(frame)

    # -- frames coming in

    def _read(self, view: memoryview) -> int:
        """Read frames; return how many bytes were used."""
        position, end = 0, len(view)
        if not self._greeted:
            if not self._greet(view):
                return 0
            position = len(PREFACE)
        while not self.is_broken:
            if self._in_data:
                position = self._read_data(view, position, end)
                if self._in_data:
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
                    self._begin_data(stream_id, size, 0, flags)
                    position = start
                    continue
                if end == start and size:
                    return position
                if not size or view[start] >= size:
                    raise ConnectionFailedError(
                        ErrorCode.PROTOCOL_ERROR, "the padding of a DATA frame exceeds the frame"
                    )
                self._begin_data(stream_id, size, view[start], flags)
                position = start + 1
                continue
            stop = start + size
            if stop > end:
                return position
            _READERS.get(kind, Connection._on_unknown)(self, stream_id, flags, view[start:stop])
            self.received_frames += 1
            position = stop
        return end

    def _greet(self, view: memoryview) -> bool:
        given = bytes(view[: len(PREFACE)])
        if not PREFACE.startswith(given):
            if len(given) < 4 and any(method.startswith(given) for method in _HTTP1_METHODS):
                return False
            if given[:4] in _HTTP1_METHODS:
                self._outbox.buffers = [HTTP1_ANSWER]
                self.lose()
                return False
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "expected the connection preface of HTTP/2")
        if len(given) < len(PREFACE):
            return False
        self._greeted = True
        self._put(self._first_settings())
        return True

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
        if self._block is not None and (kind != frames.CONTINUATION or stream_id != self._block_stream_id):
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted by another frame")
        if not self._settled and kind != frames.SETTINGS:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")

    # -- bodies coming in

    def _begin_data(self, stream_id: int, size: int, padding: int, flags: int) -> None:
        """Begin a DATA frame of `size` bytes, of which `padding` lie behind the data; with it goes their count byte."""
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        ends = bool(flags & END_STREAM)
        self._in_data = True
        self._data_size = size
        self._data_ends = ends
        self._pad_left = padding
        self._data_left = size - padding - (1 if flags & PADDED else 0)
        try:
            self._data_stream = self._data_receiver(stream_id, size)
        except StreamFailedError as fault:
            self._data_stream = None
            self._reset_for(stream_id, fault.code)
        if not self._data_left and not ends:
            self._count_control()

    def _data_receiver(self, stream_id: int, size: int) -> Stream | None:
        """Return the stream that a DATA frame is for; None for one that was reset a moment ago."""
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, frames.DATA)
            if stream_id not in self._reset_ids:
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
        if left < 0 or (self._data_ends and left):
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "the body is not as long as content-length says")

    def _read_data(self, view: memoryview, position: int, end: int) -> int:
        """Take what there is of the DATA frame that has begun; return the new position."""
        if self._data_left:
            count = min(self._data_left, end - position)
            if count:
                self._data_left -= count
                stream = self._data_stream
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
        self._end_data()
        return position

    def _end_data(self) -> None:
        """Finish a DATA frame: let the client send as much again, and tell the sink if it was the last."""
        self._in_data = False
        self.received_frames += 1
        size = self._data_size
        self._uncredited_bytes += size
        if self._uncredited_bytes * 2 >= self._limits.connection_window_bytes:
            self._put(frames.window_update(0, self._uncredited_bytes))
            self._receive_window += self._uncredited_bytes
            self._uncredited_bytes = 0
        stream, self._data_stream = self._data_stream, None
        if stream is None:
            return
        stream.uncredited_bytes += size
        if self._data_ends:
            self._end_remote(stream)
        elif stream.uncredited_bytes * 2 >= self._limits.stream_window_bytes:
            self._credit(stream)

    def _credit(self, stream: Stream) -> None:
        if stream.holds_back or stream.remote_closed or not stream.uncredited_bytes:
            return
        self._put(frames.window_update(stream.id, stream.uncredited_bytes))
        stream.receive_window += stream.uncredited_bytes
        stream.uncredited_bytes = 0

    def hold_back(self, stream: Stream, holds_back: bool) -> None:
        """Keep a client from sending more on a stream than its window allows now, or let it go on."""
        if stream.holds_back is not holds_back:
            stream.holds_back = holds_back
            if not holds_back and stream.id in self.streams:
                self._credit(stream)

    def _end_remote(self, stream: Stream) -> None:
        stream.remote_closed = True
        if stream.sink is not None:
            stream.sink.end()

    # -- heads coming in

    def _on_headers(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if not stream_id & 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "HEADERS on a stream that a client cannot open")
        start, stop = 0, len(payload)
        if flags & PADDED:
            if not stop:
                raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without the length of its padding")
            start, stop = 1, stop - payload[0]
        if flags & PRIORITY_FLAG:
            start += 5
        if start > stop:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "the padding of a HEADERS frame exceeds the frame")
        ends = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._end_block(stream_id, bytes(payload[start:stop]), ends)
            return
        self._block = bytearray(payload[start:stop])
        self._block_stream_id = stream_id
        self._block_ends = ends
        self._continuations = 0

    def _on_continuation(self, stream_id: int, flags: int, payload: memoryview) -> None:
        block = self._block
        if block is None:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS before it")
        self._continuations += 1
        if self._continuations > self._limits.continuation_frames:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        block += payload
        if len(block) > self._limits.header_block_bytes:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        if flags & END_HEADERS:
            self._block = None
            self._end_block(stream_id, bytes(block), self._block_ends)

    def _end_block(self, stream_id: int, coded: bytes, ends: bool) -> None:
        block = self._decoder.decode(coded)
        stream = self.streams.get(stream_id)
        try:
            if stream is not None:
                block.check_trailer()
                self._on_trailer(stream, ends)
            elif stream_id > self._highest_id:
                self._highest_id = stream_id
                windows = self._outbox.stream_window, self._limits.stream_window_bytes
                self._open(Stream(stream_id, block.request(), *windows), ends)
            elif stream_id not in self._reset_ids:
                raise ConnectionFailedError(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        except StreamFailedError as fault:
            self._reset_for(stream_id, fault.code)

    def _on_trailer(self, stream: Stream, ends: bool) -> None:
        if stream.remote_closed:
            raise StreamFailedError(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the request")
        if not ends:
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "a trailer that doesn't end its request")
        if stream.expected_bytes:
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "the body is not as long as content-length says")
        self._end_remote(stream)

    def _open(self, stream: Stream, ends: bool) -> None:
        if len(self.streams) >= self._limits.concurrent_streams or stream.id > self._last_accepted_id:
            if not self._refusals.spend(self.now_s):
                raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams beyond the allowed number")
            self._remember_reset(stream.id)
            self._put(frames.rst_stream(stream.id, ErrorCode.REFUSED_STREAM))
            return
        if ends and stream.expected_bytes:
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "the body is not as long as content-length says")
        self.streams[stream.id] = stream
        self._accept(stream)
        if ends and stream.id in self.streams:
            self._end_remote(stream)

    # -- control frames coming in

    def _on_settings(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if len(payload):
                raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS is empty")
            self._count_control()
            return
        if len(payload) % 6:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a size that is no multiple of 6")
        self._settled = True
        self._count_control()
        for setting, value in frames.read_settings(payload):
            self._apply(setting, value)
        self._outbox.send_control(frames.SETTINGS_ACK)

    def _apply(self, setting: int, value: int) -> None:
        if setting == frames.INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW_BYTES:
                raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is too large")
            change, self._outbox.stream_window = value - self._outbox.stream_window, value
            for stream in self.streams.values():
                stream.window += change
                if stream.window > MAX_WINDOW_BYTES:
                    raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window grows too large")
            self._outbox.send_waiting()
        elif setting == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_BYTES <= value < 2**24:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of its range")
            self._outbox.set_frame_bytes(value)
        elif setting == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is neither 0 nor 1")
        elif setting == frames.HEADER_TABLE_SIZE and value < frames.DEFAULT_HEADER_TABLE_BYTES:
            self._outbox.forget_table()

    def _on_ping(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "PING of a size that is not 8")
        self._count_control()
        if flags & ACK:
            self.acknowledged_pings += 1
            return
        self._count_ping()
        self._outbox.send_control(frames.frame(frames.PING, ACK, 0, bytes(payload)))

    def _count_ping(self) -> None:
        """Count strikes as gRPC servers do (gRFC A8)."""
        if self._outbox.responses_sent != self._responses_at_ping:
            self._ping_strikes, self._last_ping_s = 0, None
        self._responses_at_ping = self._outbox.responses_sent
        last_s, self._last_ping_s = self._last_ping_s, self.now_s
        policy = self._pings
        interval_s = policy.min_interval_s if self.streams else policy.min_idle_interval_s
        if last_s is None or self.now_s - last_s >= interval_s or not policy.max_strikes:
            return
        self._ping_strikes += 1
        if self._ping_strikes > policy.max_strikes:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")

    def _on_goaway(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of fewer than 8 bytes")
        self._count_control()
        self.peer_is_leaving = True

    def _on_window_update(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a size that is not 4")
        increment = int.from_bytes(payload) & MAX_WINDOW_BYTES
        if not stream_id:
            if not increment:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self._outbox.widen(increment)
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, frames.WINDOW_UPDATE)
            return
        stream.window += increment
        if not increment or stream.window > MAX_WINDOW_BYTES:
            self._reset_for(stream_id, ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR)
        elif stream.waiting_bytes:
            self._outbox.send_waiting()

    def _on_rst_stream(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a size that is not 4")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, frames.RST_STREAM)
            self._count_control()
            return
        self._count_reset()
        self._forget(stream)
        self._tell_reset(stream)

    def _on_priority(self, stream_id: int, flags: int, payload: memoryview) -> None:
        if not stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on no stream")
        self._count_control()
        if len(payload) != 5:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a size that is not 5")

    def _on_push_promise(self, stream_id: int, flags: int, payload: memoryview) -> None:
        raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    def _on_unknown(self, stream_id: int, flags: int, payload: memoryview) -> None:
        self._count_control()

    def _check_not_idle(self, stream_id: int, kind: int) -> None:
        if not stream_id or stream_id > self._highest_id or not stream_id & 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, f"frame of type {kind} on a stream that isn't open")

    def _count_control(self) -> None:
        if not self._controls.spend(self.now_s):
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    def _count_reset(self) -> None:
        if not self._resets.spend(self.now_s):
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    # -- the ends of streams

    def _reset_for(self, stream_id: int, code: ErrorCode) -> None:
        """Reset a stream for the client's fault, and tell its sink."""
        self._count_reset()
        stream = self.streams.get(stream_id)
        self._remember_reset(stream_id)
        self._outbox.send_control(frames.rst_stream(stream_id, code))
        if stream is not None:
            self._forget(stream)
            self._tell_reset(stream)

    def _remember_reset(self, stream_id: int) -> None:
        """Remember a stream whose frames may still be under way; they are passed over."""
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > _REMEMBERED_RESETS:
            del self._reset_ids[next(iter(self._reset_ids))]

    def _forget(self, stream: Stream) -> None:
        stream.local_closed = stream.remote_closed = True
        self.streams.pop(stream.id, None)
        self._outbox.waiting.pop(stream.id, None)
        if self._data_stream is stream:
            self._data_stream = None

    def _tell_reset(self, stream: Stream) -> None:
        stream.local_closed = stream.remote_closed = True
        sink, stream.sink = stream.sink, None
        if sink is not None:
            sink.reset()

    def _on_response_ended(self, stream: Stream) -> None:
        """Forget a stream; what still comes of its request is of no use (RFC 9113 §8.1)."""
        if not stream.remote_closed:
            self._put(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._remember_reset(stream.id)
        self._forget(stream)
        stream.sink = None

    # -- time

    def check_stalls(self) -> None:
        """Reset streams whose client takes too little of what waits; call it now and then."""
        if self._outbox.is_held:
            return  # the owner looks after a transport that is full
        try:
            for stream in self._outbox.stalled(self.now_s):
                self._reset_for(stream.id, ErrorCode.ENHANCE_YOUR_CALM)
        except ConnectionFailedError as fault:
            self.fail(fault.code, str(fault))


_READERS: dict[int, Callable[[Connection, int, int, memoryview], None]] = {
    frames.HEADERS: Connection._on_headers,  # noqa: SLF001 - the table is part of the class
    frames.PRIORITY: Connection._on_priority,  # noqa: SLF001
    frames.RST_STREAM: Connection._on_rst_stream,  # noqa: SLF001
    frames.SETTINGS: Connection._on_settings,  # noqa: SLF001
    frames.PUSH_PROMISE: Connection._on_push_promise,  # noqa: SLF001
    frames.PING: Connection._on_ping,  # noqa: SLF001
    frames.GOAWAY: Connection._on_goaway,  # noqa: SLF001
    frames.WINDOW_UPDATE: Connection._on_window_update,  # noqa: SLF001
    frames.CONTINUATION: Connection._on_continuation,  # noqa: SLF001
}
