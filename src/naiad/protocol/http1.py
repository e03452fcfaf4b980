# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as a server reads and writes it: bytes to requests, responses to bytes, without sockets or asyncio.

`RequestReader` is the inbound half of one connection, `render_head` the outbound one. Bodies are never looked at:
one of known length is a count of bytes, a chunked one is joined by `http1_body`.
May import `http1_head` and `http1_body`.
"""

import http
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from naiad.protocol.http1_body import BodySink, ChunkedDecoder, ReceiveBuffer
from naiad.protocol.http1_head import HttpError, Limits, RequestHead, parse_head, too_long_target

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields of a response, in order; without Content-Length and Connection, which `render_head` writes."""

_MEMOISED_HEADS = 512
_MEMOISED_HEAD_BYTES = 2048  # 512 × 2 KiB: the memo never holds more than about a MiB


def head_parser(limits: Limits) -> Callable[[bytes], RequestHead]:
    """Return `parse_head` under `limits`, with a memo.

    Clients send the same head again and again, byte for byte. The memo is keyed by all bytes of the head and holds
    frozen values, so it can only give what parsing would have given.
    """

    @lru_cache(_MEMOISED_HEADS)
    def remembered(head: bytes) -> RequestHead:
        return parse_head(head, limits)

    def parse(head: bytes) -> RequestHead:
        return remembered(head) if len(head) <= _MEMOISED_HEAD_BYTES else parse_head(head, limits)

    return parse


class RequestReader:
    """The inbound half of a connection: request after request out of a stream of bytes.

    In turn: `next_head` until it gives a head, then `take_body`, and while that gives None, `read_body` until it
    returns True. `remaining` bytes of a body of known length may be received elsewhere and reported to `passed_by`.
    How the stream is cut into pieces makes no difference to what is read.
    """

    __slots__ = ("_decoder", "_limits", "_parse", "buffer", "remaining")

    def __init__(self, limits: Limits, parse: Callable[[bytes], RequestHead] | None = None) -> None:
        self.buffer = ReceiveBuffer()
        self.remaining = 0
        self._limits = limits
        self._parse = parse or head_parser(limits)
        self._decoder: ChunkedDecoder | None = None

    def next_head(self) -> RequestHead | None:
        """Return the next request's head, or None until all of it is there.

        Raises:
            HttpError: it is malformed or too large.
        """
        self._skip_empty_lines()
        if len(self.buffer):
            self._check_first_byte()
        raw = self.buffer.take_head()
        if raw is None:
            self._refuse_early()
            return None
        if len(raw) > self._limits.head_bytes:
            raise HttpError(431, self._too_large_head())
        head = self._parse(raw)
        self.remaining = head.content_length
        self._decoder = ChunkedDecoder(self._limits) if head.chunked else None
        return head

    def take_body(self, most_bytes: int) -> bytes | None:
        """Return the whole body if it is here already, of known length and no longer than `most_bytes`."""
        if self._decoder is not None or self.remaining > most_bytes or self.remaining > len(self.buffer):
            return None
        body = self.buffer.take(self.remaining) if self.remaining else b""
        self.remaining = 0
        return body

    def read_body(self, sink: BodySink) -> bool:
        """Append what has come of the body to `sink`; return True when it is complete.

        Raises:
            HttpError: its chunked coding is malformed or beyond the limits.
        """
        if self._decoder is not None:
            return self._decoder.decode(self.buffer, sink)
        if self.remaining and len(self.buffer):
            self.remaining -= self.buffer.move(self.remaining, sink)
        return not self.remaining

    def passed_by(self, count: int) -> None:
        """Count `count` bytes of a body of known length that went straight to where they belong."""
        self.remaining -= count

    def _skip_empty_lines(self) -> None:
        """Drop CRLFs before a request line (RFC 9112 §2.2): old clients send one after a body."""
        buffer = self.buffer
        while len(buffer) >= 2 and buffer.first_byte() == 0x0D:
            if buffer.take(2) != b"\r\n":
                raise HttpError(400, "malformed HTTP request: it begins with a bare CR")

    def _check_first_byte(self) -> None:
        """Refuse what is no request from its first byte on; llhttp would skip a bare LF, and see another method."""
        buffer = self.buffer
        first = buffer.first_byte()
        if first == 0x16:
            raise HttpError(400, "this port speaks plain HTTP, got a TLS handshake; use http:// instead of https://")
        if not 0x41 <= first <= 0x5A and not (first == 0x0D and len(buffer) == 1):
            raise HttpError(400, "malformed HTTP request: it doesn't begin with a method such as GET or POST")

    def _refuse_early(self) -> None:
        """Answer at once what can no longer become a good head, instead of waiting for its end."""
        buffer, limits = self.buffer, self._limits
        if len(buffer) >= limits.head_bytes:
            raise HttpError(431, self._too_large_head())
        if len(buffer) > limits.target_bytes + 32 and not buffer.holds(b"\r\n"):
            raise HttpError(414, too_long_target(limits))

    def _too_large_head(self) -> str:
        return f"request line and header fields exceed {self._limits.head_bytes} bytes, send fewer or shorter ones"


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_PHRASES = {405: "Not Allowed"}  # libevhtp's phrase, so Triton's

_STATUS_LINES: Mapping[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {_PHRASES.get(status.value, status.phrase)}\r\n".encode()
    for status in http.HTTPStatus
}


def render_head(
    status: int, headers: Headers, content_length: int, head: RequestHead | None, keep_alive: bool
) -> bytes:
    """Return the status line and all header fields of a response to `head`, with the empty line.

    `head` is None for a request that could not be read. `keep_alive` tells whether the connection stays open after
    this response; it is written only where that isn't what the client's HTTP version takes for granted.
    """
    connection = b""
    if not keep_alive:
        connection = b"Connection: close\r\n"
    elif head is not None and head.version == "1.0":
        connection = b"Connection: keep-alive\r\n"
    return b"%bContent-Length: %d\r\n%b\r\n" % (_render_fields(status, headers), content_length, connection)


LAST_PIECE = b"0\r\n\r\n"
"""What ends a chunked body."""


def is_chunked(head: RequestHead) -> bool:
    """Tell whether a response to `head` that comes in pieces is chunked; for HTTP/1.0 the connection's end ends it."""
    return head.version != "1.0"


def render_head_of_pieces(status: int, headers: Headers, head: RequestHead, keep_alive: bool) -> bytes:
    """Return the head of a response to `head` whose body comes in pieces, of which nobody knows yet how many."""
    length = b"Transfer-Encoding: chunked\r\n" if is_chunked(head) else b""
    connection = b"" if keep_alive and is_chunked(head) else b"Connection: close\r\n"
    return b"%b%b%b\r\n" % (_render_fields(status, headers), length, connection)


def render_piece(buffers: Sequence[bytes | memoryview], head: RequestHead) -> Sequence[bytes | memoryview]:
    """Return a piece, not empty, of the body of a response to `head`, as it is to be sent."""
    if not is_chunked(head):
        return buffers
    return (b"%x\r\n" % sum(map(len, buffers)), *buffers, b"\r\n")


@lru_cache(_MEMOISED_HEADS)
def _render_fields(status: int, headers: Headers) -> bytes:
    """Return the status line and `headers`; a server gives the same few again and again."""
    return _STATUS_LINES[status] + b"".join(b"%b: %b\r\n" % field for field in headers)
