# SPDX-License-Identifier: Apache-2.0
"""Bytes received and not yet used, and the chunked coding of HTTP/1.1 bodies.

Chunks are decoded here and not by `httptools`, because it doesn't say how many bytes of a feed it used, so that
requests pipelined behind a chunked body would be lost.
May import its neighbour `head`, nothing else.
"""

from typing import Protocol

from naiad.protocol.http1.head import HttpError, Limits, shown, too_large_body


class BodySink(Protocol):
    """Where the bytes of a body go."""

    def append(self, data: memoryview, /) -> None:
        """Copy `data` to the end of the body; the view is not valid after the call."""


class ReceiveBuffer:
    """Bytes received and not yet used.

    A transport lends its own receive buffer for the length of one callback (`lend`); what is left when the callback
    ends is copied out (`keep`). So a request that arrives in one piece is never copied into a queue first.
    """

    __slots__ = ("_end", "_kept", "_scanned", "_source", "_start")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._source = self._kept
        self._start = 0
        self._end = 0
        self._scanned = 0

    def __len__(self) -> int:
        return self._end - self._start

    def lend(self, source: bytearray, count: int) -> None:
        """Add `source[:count]`, which must stay as it is until `keep` is called."""
        if self._end > self._start:
            self._compact()
            self._kept += memoryview(source)[:count]
            self._end = len(self._kept)
            return
        self._source = source
        self._start = self._scanned = 0
        self._end = count

    def keep(self) -> None:
        """Copy what is left of a lent buffer; the lender may overwrite it now."""
        if self._source is self._kept:
            return
        if self._start == self._end:
            self._source = self._kept
            self._start = self._end = self._scanned = 0
            return
        self._kept = bytearray(memoryview(self._source)[self._start : self._end])
        self._source = self._kept
        self._scanned -= self._start
        self._start, self._end = 0, len(self._kept)

    def _compact(self) -> None:
        """Drop used bytes once they are the larger part, so that doing so costs no more than receiving them did."""
        if self._start * 2 > self._end:
            del self._kept[: self._start]
            self._scanned -= self._start
            self._start = 0

    def first_byte(self) -> int:
        """Return the first byte; there must be one."""
        return self._source[self._start]

    def take(self, count: int) -> bytes:
        """Return and drop the first `count` bytes, or all there are if fewer."""
        end = min(self._start + count, self._end)
        with memoryview(self._source) as view:
            taken = bytes(view[self._start : end])
        self._start = end
        return taken

    def move(self, count: int, sink: BodySink) -> int:
        """Append the first `count` bytes, or all there are if fewer, to `sink`; return how many."""
        end = min(self._start + count, self._end)
        moved = end - self._start
        with memoryview(self._source) as view, view[self._start : end] as part:
            self._start = end
            sink.append(part)
        return moved

    def take_head(self) -> bytes | None:
        """Return and drop everything up to and including the first empty line; None if there is none yet."""
        at = self._source.find(b"\r\n\r\n", max(self._start, self._scanned - 3), self._end)
        if at < 0:
            self._scanned = self._end
            return None
        return self.take(at + 4 - self._start)

    def take_line(self, limit: int) -> bytes | None:
        """Return and drop a line of at most `limit` bytes, its line feed included; None if none has ended yet."""
        at = self._source.find(b"\n", self._start, min(self._end, self._start + limit))
        return None if at < 0 else self.take(at + 1 - self._start)

    def holds(self, text: bytes) -> bool:
        """Tell whether `text` occurs."""
        return self._source.find(text, self._start, self._end) >= 0


_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


class ChunkedDecoder:
    """Decodes one chunked body (RFC 9112 §7.1): CRLF only, plain hexadecimal sizes, everything bounded."""

    __slots__ = ("_at_chunk_end", "_chunks", "_in_trailer", "_left", "_limits", "_total", "_trailer_bytes")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = 0
        self._at_chunk_end = False
        self._in_trailer = False
        self._chunks = 0
        self._total = 0
        self._trailer_bytes = 0

    def decode(self, buffer: ReceiveBuffer, sink: BodySink) -> bool:
        """Move the data that `buffer` holds to `sink`; return True once the body and its trailer have ended.

        Raises:
            HttpError: the coding is malformed or beyond the limits.
        """
        while len(buffer):
            if self._in_trailer:
                return self._skip_trailer(buffer)
            if self._left:
                self._left -= buffer.move(self._left, sink)
                self._at_chunk_end = not self._left
            elif self._at_chunk_end:
                line = buffer.take_line(2)
                if line != b"\r\n":
                    if line is not None or len(buffer) >= 2 or buffer.first_byte() != 0x0D:
                        raise HttpError(400, "malformed chunked body: no CRLF after a chunk's data")
                    return False
                self._at_chunk_end = False
            elif not self._next_chunk(buffer):
                return False
        return False

    def _next_chunk(self, buffer: ReceiveBuffer) -> bool:
        line = buffer.take_line(self._limits.chunk_line_bytes)
        if line is None:
            if len(buffer) >= self._limits.chunk_line_bytes:
                raise HttpError(400, f"malformed chunked body: size line over {self._limits.chunk_line_bytes} bytes")
            return False
        self._left = self._chunk_size(line)
        if not self._left:
            self._in_trailer = True
            return True
        self._chunks += 1
        if self._chunks > self._limits.chunk_count:
            raise HttpError(
                400,
                f"Chunked request body exceeds maximum of {self._limits.chunk_count} non-empty chunks. "
                "Send fewer or larger HTTP chunks.",
            )
        self._total += self._left
        if self._total > self._limits.body_bytes:
            raise HttpError(413, too_large_body(self._limits, f"at least {self._total} bytes"))
        return True

    def _chunk_size(self, line: bytes) -> int:
        size, semicolon, extension = line[:-2].partition(b";")
        if semicolon:
            size = size.rstrip(b" \t")  # the grammar's "bad whitespace", before an extension only
        well_formed = line.endswith(b"\r\n") and 0 < len(size) <= 16 and _HEXADECIMAL.issuperset(size)
        if not well_formed or b"\r" in extension or b"\0" in extension:
            raise HttpError(400, f"malformed chunked body: {shown(line)} is not a chunk size, expected hexadecimal")
        return int(size, 16)

    def _skip_trailer(self, buffer: ReceiveBuffer) -> bool:
        """Drop trailer fields up to the empty line; none of them means anything to this server."""
        while True:
            allowed = self._limits.trailer_bytes - self._trailer_bytes
            line = buffer.take_line(allowed)
            if line is None:
                if len(buffer) >= allowed:
                    raise HttpError(431, f"trailer of a chunked body over {self._limits.trailer_bytes} bytes")
                return False
            if line == b"\r\n":
                return True
            if not line.endswith(b"\r\n") or b":" not in line or line.startswith((b" ", b"\t", b":")):
                raise HttpError(400, f"malformed chunked body: {shown(line)} is not a trailer field")
            self._trailer_bytes += len(line)
