# SPDX-License-Identifier: Apache-2.0
"""The inbound half of an HTTP/1.1 connection: request after request out of a stream of bytes.

Bodies are never looked at: one of known length is a count of bytes, a chunked one is joined by `body`.
May import its neighbours `head` and `body`.
"""

from collections.abc import Callable
from functools import lru_cache

from naiad.protocol.http1.body import BodySink, ChunkedDecoder, ReceiveBuffer
from naiad.protocol.http1.head import HttpError, Limits, RequestHead, parse_head, too_long_target

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
