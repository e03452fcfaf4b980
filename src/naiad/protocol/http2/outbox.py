# SPDX-License-Identifier: Apache-2.0
"""The outbound half of a connection: frames in the order they are to be sent, and bodies that wait for a window.

May import `frames`, `header_blocks`, `streams`, `limits` and `faults`.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.frames import END_HEADERS, END_STREAM, HEADER, MAX_WINDOW_BYTES
from naiad.protocol.http2.header_blocks import FORGET_TABLE
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.streams import Buffer, Stream

_TURN_BYTES = 256 * 1024
"""What a stream may send before it is the next one's turn."""


class Outbox:
    """What is to be sent.

    Heads and control frames go at once; bodies as far as the windows of stream and connection, and the transport, let
    them. `on_ended` is told of each stream whose response has ended. `responses_sent` counts frames of responses.
    Of the streams in `waiting`, those whose own window is open take turns; nobody looks at the others, however many.
    """

    __slots__ = (
        "_block_prefix",
        "_frame_bytes",
        "_held",
        "_limits",
        "_on_ended",
        "_ready",
        "_unsent_control_bytes",
        "_window",
        "buffers",
        "responses_sent",
        "stream_window",
        "waiting",
    )

    def __init__(self, limits: Http2Limits, on_ended: Callable[[Stream], None]) -> None:
        self.buffers: list[Buffer] = []
        self.waiting: dict[int, Stream] = {}
        self._ready: OrderedDict[int, Stream] = OrderedDict()
        self.stream_window = frames.DEFAULT_WINDOW_BYTES
        self.responses_sent = 0
        self._limits = limits
        self._on_ended = on_ended
        self._held = False
        self._unsent_control_bytes = 0
        self._window = frames.DEFAULT_WINDOW_BYTES
        self._frame_bytes = frames.DEFAULT_FRAME_BYTES
        self._block_prefix = b""

    # -- what the client and the transport allow

    def hold(self) -> None:
        """Send no bodies until `release`: the transport is full."""
        self._held = True

    def release(self) -> None:
        """Send bodies again; the transport has room."""
        self._held = False
        self._unsent_control_bytes = 0
        self.send_waiting()

    @property
    def is_held(self) -> bool:
        """Whether the transport is full."""
        return self._held

    def widen(self, increment: int) -> None:
        """Let the streams together send so many bytes more.

        Raises:
            ConnectionFailedError: the window grows too large.
        """
        self._window += increment
        if self._window > MAX_WINDOW_BYTES:
            raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window grows too large")
        if self.waiting:
            self.send_waiting()

    def note_window(self, stream: Stream) -> None:
        """Take note that the window of a stream has become wider."""
        if stream.waiting_bytes and stream.window > 0:
            self._ready[stream.id] = stream

    def set_frame_bytes(self, size: int) -> None:
        """Note the largest frame that the client takes."""
        self._frame_bytes = min(size, self._limits.max_frame_bytes)

    def forget_table(self) -> None:
        """Tell the client's decoder, in the next header block, that its dynamic table is not used."""
        self._block_prefix = FORGET_TABLE

    # -- control frames

    def send_control(self, frame: bytes) -> None:
        """Answer a control frame, if the client reads the answers.

        Raises:
            ConnectionFailedError: it has left too many unread.
        """
        self.buffers.append(frame)
        if self._held:
            self._unsent_control_bytes += len(frame)
            if self._unsent_control_bytes > self._limits.unsent_control_bytes:
                raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "answers to control frames are not read")

    # -- responses

    def _headers(self, stream: Stream, block: bytes, flags: int) -> bytes:
        if self._block_prefix:
            block, self._block_prefix = self._block_prefix + block, b""
        self.responses_sent += 1
        size = len(block)
        return HEADER.pack(size >> 16, size & 0xFFFF, frames.HEADERS, flags | END_HEADERS, stream.id) + block

    def send_headers(self, stream: Stream, block: bytes) -> None:
        """Begin the response; `block` is at most 16 KiB, written by `encode_fields`."""
        if not stream.local_closed:
            self.buffers.append(self._headers(stream, block, 0))

    def send_data(self, stream: Stream, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Go on with the response: `buffers` hold `size_bytes`, and must not change until they are sent."""
        if stream.local_closed:
            return
        if self._fits(stream, size_bytes):
            self._count_sent(stream, size_bytes)
            self.buffers.append(frames.data_header(size_bytes, 0, stream.id))
            self.buffers += buffers
            return
        stream.wait(buffers, size_bytes)
        self.waiting.setdefault(stream.id, stream)
        self.note_window(stream)
        self.send_waiting()

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """End the response, once all data has gone."""
        if stream.local_closed:
            return
        if stream.waiting_bytes:
            stream.trailers = block
            return
        self.buffers.append(self._headers(stream, block, END_STREAM))
        self._on_ended(stream)

    def _fits(self, stream: Stream, size_bytes: int) -> bool:
        """Tell whether data can go at once, in one frame."""
        return (
            size_bytes <= self._frame_bytes
            and size_bytes <= stream.window
            and size_bytes <= self._window
            and not stream.waiting_bytes
            and not self._held
        )

    def _count_sent(self, stream: Stream, size_bytes: int) -> None:
        stream.window -= size_bytes
        self._window -= size_bytes
        self.responses_sent += 1

    def send_waiting(self) -> None:
        """Send of what waits as much as the windows allow, the streams taking turns."""
        ready = self._ready
        while ready and self._window > 0 and not self._held:
            self._send_turn(ready.popitem(last=False)[1])

    def _send_turn(self, stream: Stream) -> None:
        """Send some of a stream's data, if its window has not been made smaller meanwhile."""
        count = min(stream.waiting_bytes, stream.window, self._window, _TURN_BYTES)
        if count <= 0:
            return
        self._count_sent(stream, count)
        while count:
            size = min(count, self._frame_bytes)
            count -= size
            self.buffers.append(frames.data_header(size, 0, stream.id))
            self.buffers += stream.take(size)
        if stream.waiting_bytes:
            self.note_window(stream)
            return
        self.waiting.pop(stream.id, None)
        stream.marked_s = None
        if stream.trailers is not None:
            self.send_trailers(stream, stream.trailers)
        elif stream.sink is not None:
            stream.sink.drained()

    def forget(self, stream: Stream) -> None:
        """Send no more on a stream."""
        self.waiting.pop(stream.id, None)
        self._ready.pop(stream.id, None)

    def forget_all(self) -> None:
        """Send no more on any stream."""
        self.waiting.clear()
        self._ready.clear()

    def stalled(self, now_s: float) -> list[Stream]:
        """Return the streams whose client takes too little of what waits for it."""
        limits = self._limits
        found = []
        for stream in self.waiting.values():
            if stream.marked_s is None or stream.sent_bytes - stream.marked_bytes >= limits.stall_progress_bytes:
                stream.marked_bytes, stream.marked_s = stream.sent_bytes, now_s
            elif now_s - stream.marked_s > limits.stall_s:
                found.append(stream)
        return found
