# SPDX-License-Identifier: Apache-2.0
"""Requests coming in: HEADERS and CONTINUATION frames joined to header blocks, which open streams or end requests.

May import `frames`, `header_blocks`, `streams`, `stream_table`, `limits` and `faults`.
"""

from collections.abc import Callable

from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode, StreamFailedError
from naiad.protocol.http2.frames import END_HEADERS, END_STREAM, PADDED, PRIORITY_FLAG
from naiad.protocol.http2.header_blocks import HeaderDecoder
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.stream_table import StreamTable
from naiad.protocol.http2.streams import Stream


class HeaderFrames:
    """Reads HEADERS and CONTINUATION frames; `accept` is given each stream that opens.

    `open_id` is the stream whose header block goes on in the next frame; 0 if none does.
    """

    __slots__ = ("_accept", "_block", "_continuations", "_decoder", "_ends_request", "_limits", "_table", "open_id")

    def __init__(self, table: StreamTable, limits: Http2Limits, accept: Callable[[Stream], None]) -> None:
        self.open_id = 0
        self._table = table
        self._limits = limits
        self._accept = accept
        self._decoder = HeaderDecoder(limits)
        self._block = bytearray()
        self._ends_request = False
        self._continuations = 0

    # -- blocks

    def on_headers(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a HEADERS frame (RFC 9113 §6.2)."""
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
            self._read_block(stream_id, bytes(payload[start:stop]), ends)
            return
        self.open_id = stream_id
        self._block = bytearray(payload[start:stop])
        self._ends_request = ends
        self._continuations = 0

    def on_continuation(self, stream_id: int, flags: int, payload: memoryview) -> None:
        """Read a CONTINUATION frame (RFC 9113 §6.10); the caller has held its stream against `open_id`."""
        if not self.open_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS before it")
        self._continuations += 1
        if self._continuations > self._limits.continuation_frames:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        self._block += payload
        if len(self._block) > self._limits.header_block_bytes:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        if flags & END_HEADERS:
            self.open_id = 0
            coded, self._block = bytes(self._block), bytearray()
            self._read_block(stream_id, coded, self._ends_request)

    def _read_block(self, stream_id: int, coded: bytes, ends: bool) -> None:
        table = self._table
        block = self._decoder.decode(coded)
        stream = table.open.get(stream_id)
        try:
            if stream is not None:
                block.check_trailer()
                self._end_with_trailer(stream, ends)
            elif stream_id > table.highest_id:
                table.highest_id = stream_id
                windows = table.outbox.stream_window, self._limits.stream_window_bytes
                self._open(Stream(stream_id, block.request(), *windows), ends)
            elif not table.was_reset(stream_id):
                raise ConnectionFailedError(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        except StreamFailedError as fault:
            table.reset_for_fault(stream_id, fault.code)

    # -- what they mean

    def _open(self, stream: Stream, ends: bool) -> None:
        table = self._table
        if len(table.open) >= self._limits.concurrent_streams or stream.id > table.last_accepted_id:
            table.refuse(stream.id)
            return
        if ends and stream.expected_bytes:
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "the body is not as long as content-length says")
        table.open[stream.id] = stream
        self._accept(stream)
        if ends and stream.id in table.open:
            stream.end_request()

    def _end_with_trailer(self, stream: Stream, ends: bool) -> None:
        if stream.remote_closed:
            raise StreamFailedError(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the request")
        if not ends:
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "a trailer that doesn't end its request")
        if stream.expected_bytes:
            raise StreamFailedError(ErrorCode.PROTOCOL_ERROR, "the body is not as long as content-length says")
        stream.end_request()
