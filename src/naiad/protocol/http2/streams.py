# SPDX-License-Identifier: Apache-2.0
"""One stream of a connection: its windows, what waits to be sent, and who receives what comes in.

May import `heads`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from naiad.protocol.http2.heads import RequestHead

Buffer = bytes | memoryview


class StreamSink(Protocol):
    """Who receives a request's body and is told of its end; called while the connection receives."""

    def append(self, data: memoryview, /) -> None:
        """Take bytes of the body; the view is not valid after the call."""

    def room(self, most_bytes: int, /) -> memoryview | None:
        """Return where the next bytes of the body, at most so many, can be received; None to get them by `append`."""

    def advance(self, count: int, /) -> None:
        """Count bytes that were written to `room`."""

    def end(self) -> None:
        """Note that the request is complete."""

    def reset(self) -> None:
        """Note that the stream is gone, by the client's wish, an error or the loss of the connection."""

    def drained(self) -> None:
        """Note that all that waited to be sent has been sent."""


class Stream:
    """A request and its response. What is to be sent is given to the connection, not to the stream.

    `window` is what may still be sent, `receive_window` what may still come, both in bytes. `holds_back` keeps the
    client from being told to go on, and is changed through the connection. `waiting_bytes` wait for a window.
    """

    __slots__ = (
        "expected_bytes",
        "head",
        "holds_back",
        "id",
        "local_closed",
        "marked_bytes",
        "marked_s",
        "receive_window",
        "remote_closed",
        "sent_bytes",
        "sink",
        "trailers",
        "uncredited_bytes",
        "waiting",
        "waiting_bytes",
        "window",
    )

    def __init__(self, stream_id: int, head: RequestHead, window: int, receive_window: int) -> None:
        self.id = stream_id
        self.head = head
        self.window = window
        self.receive_window = receive_window
        self.uncredited_bytes = 0
        self.expected_bytes = head.content_length
        self.holds_back = False
        self.sink: StreamSink | None = None
        self.remote_closed = False
        self.local_closed = False
        self.waiting: deque[Buffer] = deque()
        self.waiting_bytes = 0
        self.trailers: bytes | None = None
        self.sent_bytes = 0
        self.marked_bytes = 0
        self.marked_s: float | None = None

    def end_request(self) -> None:
        """Note that nothing more of the request comes, and tell the sink."""
        self.remote_closed = True
        if self.sink is not None:
            self.sink.end()

    def lose(self) -> None:
        """Note that the stream is gone, and tell the sink, which hears nothing after that."""
        self.local_closed = self.remote_closed = True
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.reset()

    def wait(self, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Put buffers into the row of what waits."""
        self.waiting.extend([buffer for buffer in buffers if len(buffer)])
        self.waiting_bytes += size_bytes

    def take(self, count: int) -> list[Buffer]:
        """Take exactly `count` bytes, at most what waits, off the front of the row."""
        self.waiting_bytes -= count
        self.sent_bytes += count
        waiting = self.waiting
        taken: list[Buffer] = []
        while count:
            first = waiting[0]
            size = len(first)
            if size <= count:
                taken.append(waiting.popleft())
                count -= size
            else:
                view = memoryview(first)
                taken.append(view[:count])
                waiting[0] = view[count:]
                count = 0
        return taken
