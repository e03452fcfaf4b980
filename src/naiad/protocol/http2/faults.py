# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on an HTTP/2 connection: error codes, and the exceptions that carry them. Imports nothing."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """RFC 9113 §7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Http2Error(Exception):
    """The client broke the protocol or a limit; the text is for its developer."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class ConnectionFailedError(Http2Error):
    """Ends the connection with GOAWAY; the text goes with it as debug data."""


class StreamFailedError(Http2Error):
    """Ends one stream with RST_STREAM."""
