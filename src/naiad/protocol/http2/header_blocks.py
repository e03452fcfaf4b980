# SPDX-License-Identifier: Apache-2.0
"""Header blocks (HPACK, RFC 7541): reading them with the `hpack` library and a memo, writing those that never change.

May import `hpack`, `heads`, `faults` and `limits`.
"""

from collections.abc import Iterable
from functools import lru_cache

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.heads import Fields, RequestHead, check_field, parse_request
from naiad.protocol.http2.limits import Http2Limits

_MEMOISED_BLOCKS = 64
_MEMOISED_BLOCK_BYTES = 1024
_MEMOISED_FIELDS = 32

FORGET_TABLE = b"\x20"
"""A dynamic table size update to 0 (RFC 7541 §6.3). What is written here never uses the table, but a client that makes
it smaller waits to be told that the encoder has noticed (§4.2)."""


class HeaderBlock:
    """The fields of one decoded header block, and what they mean as a request's head."""

    __slots__ = ("_head", "fields")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._head: RequestHead | None = None

    def request(self) -> RequestHead:
        """Return the head; the same object every time.

        Raises:
            StreamFailedError: it is malformed.
        """
        if self._head is None:
            self._head = parse_request(self.fields)
        return self._head

    def check_trailer(self) -> None:
        """Check that the fields may end a request.

        Raises:
            StreamFailedError: they may not.
        """
        for name, value in self.fields:
            check_field(name, value)


class _CountedTable(HeaderTable):
    """A dynamic table that counts its changes: what a block means rests on the table, so changes end the memo."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order they come.

    Clients send the same block again and again. A block that has left the dynamic table alone means the same as long as
    the table isn't changed, so its result is kept until then.
    """

    __slots__ = ("_decoder", "_memo", "_table")

    def __init__(self, limits: Http2Limits) -> None:
        self._table = _CountedTable()
        self._decoder = Decoder(limits.header_list_bytes)
        self._decoder.header_table = self._table
        self._memo: dict[bytes, HeaderBlock] = {}

    def decode(self, block: bytes) -> HeaderBlock:
        """Decode one block.

        Raises:
            ConnectionFailedError: it is malformed or too large; the table is lost, and the connection with it.
        """
        known = self._memo.get(block)
        if known is not None:
            return known
        changes = self._table.changes
        try:
            decoded = HeaderBlock(tuple((bytes(name), bytes(value)) for name, value in self._fields(block)))
        except OversizedHeaderListError as error:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, f"header list too large: {error}") from None
        except (HPACKError, IndexError, ValueError):
            # hpack's text may hold an address of this process, which is nobody's business.
            raise ConnectionFailedError(ErrorCode.COMPRESSION_ERROR, "malformed header block") from None
        if self._table.changes != changes or _resizes_table(block):
            self._memo.clear()
        elif len(block) <= _MEMOISED_BLOCK_BYTES and len(decoded.fields) <= _MEMOISED_FIELDS:
            if len(self._memo) >= _MEMOISED_BLOCKS:
                self._memo.clear()
            self._memo[block] = decoded
        return decoded

    def _fields(self, block: bytes) -> Iterable[tuple[bytes, bytes]]:
        return self._decoder.decode(block, raw=True)


def _resizes_table(block: bytes) -> bool:
    """Tell whether a block begins with a dynamic table size update (RFC 7541 §6.3), which may have emptied it."""
    return bool(block) and block[0] & 0xE0 == 0x20


_STATUS_200 = b"\x88"
_CONTENT_TYPE = 31
"""Indices of RFC 7541's static table."""


def encode_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write fields as literals without indexing (RFC 7541 §6.2.2), which rest on no table.

    Names must be in lower case.
    """
    return b"".join(_field(name, value) for name, value in fields)


@lru_cache(256)
def _field(name: bytes, value: bytes) -> bytes:
    if (name, value) == (b":status", b"200"):
        return _STATUS_200
    if name == b":status":
        return b"\x08" + _string(value)
    if name == b"content-type":
        return b"\x0f" + bytes((_CONTENT_TYPE - 15,)) + _string(value)
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    """Write a string literal without Huffman coding (RFC 7541 §5.2)."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size -= 127
    prefix = bytearray(b"\x7f")
    while size >= 128:
        prefix.append(size & 127 | 128)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + text
