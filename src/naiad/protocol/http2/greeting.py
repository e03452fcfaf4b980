# SPDX-License-Identifier: Apache-2.0
"""The first words of a connection: the client's preface, the server's settings, and what a client of HTTP/1.1 is told.

May import `frames`, `limits` and `faults`.
"""

from enum import Enum, auto

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.frames import PREFACE
from naiad.protocol.http2.limits import Http2Limits

_HTTP1_METHODS = frozenset((b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI"))
_HTTP1_TEXT = b"this port speaks gRPC, which is HTTP/2; HTTP/1.1 has a port of its own\n"
HTTP1_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_HTTP1_TEXT), _HTTP1_TEXT)
)
"""What a client of the wrong port is told, in its own language."""


class Greeting(Enum):
    """What the first bytes of a connection are."""

    UNFINISHED = auto()
    HTTP2 = auto()
    HTTP1 = auto()


def read_greeting(view: memoryview) -> Greeting:
    """Tell what a connection that begins with `view` speaks; HTTP/2 once the whole preface is there (RFC 9113 §3.4).

    Raises:
        ConnectionFailedError: neither version of HTTP.
    """
    given = bytes(view[: len(PREFACE)])
    if PREFACE.startswith(given):
        return Greeting.HTTP2 if len(given) == len(PREFACE) else Greeting.UNFINISHED
    if given[:4] in _HTTP1_METHODS:
        return Greeting.HTTP1
    if len(given) < 4 and any(method.startswith(given) for method in _HTTP1_METHODS):
        return Greeting.UNFINISHED
    raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "expected the connection preface of HTTP/2")


def first_frames(limits: Http2Limits) -> bytes:
    """Return what a server sends first: its settings, and the connection's window where it is larger than usual."""
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
