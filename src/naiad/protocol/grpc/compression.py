# SPDX-License-Identifier: Apache-2.0
"""Compressed messages: how they are undone, and which answers are compressed.

May import `protocol.compression` and its neighbours.
"""

import zlib
from collections.abc import Mapping
from typing import Protocol

from naiad.protocol.compression import STEP_BYTES, WINDOW_BITS, compress
from naiad.protocol.grpc.call import GrpcError, GrpcStatus
from naiad.protocol.grpc.messages import MAX_MESSAGE_BYTES
from naiad.protocol.grpc.response import EncodedMessage

_BOTH, _GZIP, _DEFLATE = frozenset(("gzip", "deflate")), frozenset(("gzip",)), frozenset(("deflate",))
_ONLY = {_GZIP: "gzip", _DEFLATE: "deflate"}
_LEVELS: Mapping[str, Mapping[frozenset[str], str]] = {
    "none": {},
    "low": {**_ONLY, _BOTH: "gzip"},
    "medium": {**_ONLY, _BOTH: "deflate"},
    "high": {**_ONLY, _BOTH: "deflate"},
}
"""Triton's compression level → what the client accepts → the encoding that gRPC's C++ library takes for them."""


class MessageSink(Protocol):
    """Where a message goes."""

    def append(self, data: memoryview, /) -> None:
        """Copy `data` to its end; the view is not valid after the call."""


def decompress(data: memoryview, encoding: str, sink: MessageSink) -> None:
    """Append the message as it was before `encoding` to `sink`, little by little and no more than the limit.

    Raises:
        GrpcError: it is corrupt, cut short or too large, or the call did not say how it is compressed.
        NaiadError: there is no memory for it.
    """
    if encoding == "identity":
        raise GrpcError(GrpcStatus.INTERNAL, "a message is compressed, but the call has no grpc-encoding")
    stream = zlib.decompressobj(WINDOW_BITS[encoding])
    rest: bytes | memoryview = data
    total = 0
    while not stream.eof:
        try:
            plain = stream.decompress(rest, STEP_BYTES)
        except zlib.error as error:
            raise GrpcError(GrpcStatus.INTERNAL, f"a message is not valid {encoding} data: {error}") from None
        if not plain and not stream.eof:
            raise GrpcError(GrpcStatus.INTERNAL, f"a message is {encoding} data that is cut short")
        total += len(plain)
        if total > MAX_MESSAGE_BYTES:
            raise GrpcError(
                GrpcStatus.RESOURCE_EXHAUSTED, f"Received message larger than max ({total} vs. {MAX_MESSAGE_BYTES})"
            )
        sink.append(memoryview(plain))
        rest = stream.unconsumed_tail
    if stream.unused_data:
        raise GrpcError(GrpcStatus.INTERNAL, f"a message of {encoding} data is followed by other bytes")


def response_encoding(level: str, accepts: frozenset[str]) -> str:
    """Return the encoding of answers at `level` (`--grpc-infer-response-compression-level`) to a client's call."""
    return _LEVELS[level].get(accepts, "identity")


def compressed(encoded: EncodedMessage, encoding: str) -> EncodedMessage:
    """Return the message in `encoding`."""
    made = compress(encoded.buffers, encoding)
    return EncodedMessage([made], len(made))
