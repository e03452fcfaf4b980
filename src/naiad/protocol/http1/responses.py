# SPDX-License-Identifier: Apache-2.0
"""The outbound half of an HTTP/1.1 connection: heads of responses, and bodies that come in pieces.

May import its neighbour `head`.
"""

import http
from collections.abc import Mapping, Sequence
from functools import lru_cache

from naiad.protocol.http1.head import RequestHead

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields of a response, in order; without Content-Length and Connection, which `render_head` writes."""

_MEMOISED_FIELDS = 512

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


@lru_cache(_MEMOISED_FIELDS)
def _render_fields(status: int, headers: Headers) -> bytes:
    """Return the status line and `headers`; a server gives the same few again and again."""
    return _STATUS_LINES[status] + b"".join(b"%b: %b\r\n" % field for field in headers)
