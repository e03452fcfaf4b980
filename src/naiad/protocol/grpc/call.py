# SPDX-License-Identifier: Apache-2.0
"""A gRPC call on HTTP/2 (gRPC's PROTOCOL-HTTP2.md): what its head means, and the header blocks of its answer.

May import `errors` and `http2`.
"""

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from urllib.parse import quote_from_bytes

from naiad.errors import NaiadError
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.heads import RequestHead

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_NS = {b"H": 3_600_000_000_000, b"M": 60_000_000_000, b"S": 1_000_000_000, b"m": 1_000_000, b"u": 1_000, b"n": 1}
_MAX_MESSAGE_BYTES = 4096
"""As they are sent. Longer texts are cut: a header block goes in one frame, and clients limit it (grpcio: 8 KiB)."""

ENCODINGS = ("gzip", "deflate")
"""The message encodings that are understood, apart from `identity`."""


class GrpcStatus(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class GrpcError(NaiadError):
    """Ends a call with a status that no other error of the server has."""

    def __init__(self, status: GrpcStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class UnknownEncodingError(GrpcError):
    """A call whose messages nobody here can read; its answer has to carry `ACCEPTED_ENCODINGS`."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            GrpcStatus.UNIMPLEMENTED,
            f"message encoding {encoding[:32]!r} is not supported, expected one of identity, {', '.join(ENCODINGS)}",
        )


def status_of(error: NaiadError) -> GrpcStatus:
    """Return the status that a call which failed with `error` ends with."""
    return error.status if isinstance(error, GrpcError) else GrpcStatus(error.grpc_status)


@dataclass(frozen=True, slots=True, eq=False)
class CallHead:
    """What the head of a call says.

    `timeout_ns` is None without a deadline. `encoding` is how messages flagged as compressed are, "identity" for not
    at all; `accepts` are those of `ENCODINGS` the client understands. `metadata` holds the custom fields in order,
    names in lower case, the values of those in `-bin` decoded. `user_agent` is empty if the client doesn't tell it.
    """

    path: str
    timeout_ns: int | None
    encoding: str
    accepts: frozenset[str]
    metadata: tuple[tuple[str, bytes], ...]
    user_agent: bytes = b""


@lru_cache(256)
def read_call(head: RequestHead) -> CallHead:
    """Return what the head of a request means as a gRPC call.

    Raises:
        NotGrpcError: it is no gRPC call.
        GrpcError: it is one that cannot be served.
    """
    if head.method != "POST":
        raise NotGrpcError(405)
    fields = dict(head.fields)
    content_type = fields.get(b"content-type", b"")
    if not content_type.startswith(b"application/grpc") or content_type[16:17] not in {b"", b"+", b";"}:
        raise NotGrpcError(415)
    encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in ENCODINGS and encoding != "identity":
        raise UnknownEncodingError(encoding)
    accepted = fields.get(b"grpc-accept-encoding", b"").decode("latin-1").replace(" ", "").split(",")
    return CallHead(
        path=head.path,
        timeout_ns=parse_timeout(fields[b"grpc-timeout"]) if b"grpc-timeout" in fields else None,
        encoding=encoding,
        accepts=frozenset(accepted).intersection(ENCODINGS),
        metadata=tuple(_metadata(head.fields)),
        user_agent=fields.get(b"user-agent", b""),
    )


class NotGrpcError(Exception):
    """A request over HTTP/2 that is no gRPC call; answered with an HTTP status."""

    def __init__(self, http_status: int) -> None:
        super().__init__(f"not a gRPC call, HTTP status {http_status}")
        self.http_status = http_status


def parse_timeout(value: bytes) -> int:
    """Read the header `grpc-timeout`; return nanoseconds.

    Raises:
        GrpcError: it is none.
    """
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise GrpcError(
            GrpcStatus.INTERNAL, f"grpc-timeout is {value[:16]!r}, expected up to 8 digits and one of H, M, S, m, u, n"
        )
    return int(match[1]) * _UNIT_NS[match[2]]


_RESERVED = frozenset((b"te", b"content-type", b"user-agent", b"content-length"))


def _metadata(fields: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, bytes]]:
    for name, value in fields:
        if name in _RESERVED or name.startswith(b"grpc-"):
            continue
        if name.endswith(b"-bin"):
            for part in value.split(b","):
                yield name.decode("ascii"), _from_base64(name, part.strip())
        else:
            yield name.decode("ascii"), value


def _from_base64(name: bytes, text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise GrpcError(
            GrpcStatus.INTERNAL, f"the value of metadata {name.decode('ascii')[:64]!r} is not base64, as it has to be"
        ) from None


RESPONSE_HEADERS = encode_fields(((b":status", b"200"), (b"content-type", b"application/grpc")))
"""The header block that begins an answer."""
OK_TRAILERS = encode_fields(((b"grpc-status", b"0"),))
"""The trailer block that ends a call well."""


ACCEPTED_ENCODINGS = encode_fields(((b"grpc-accept-encoding", ",".join(("identity", *ENCODINGS)).encode()),))
"""The part of a header block that tells which encodings are understood."""


def response_headers(encoding: str) -> bytes:
    """Return the header block that begins an answer whose messages may be compressed."""
    if encoding == "identity":
        return RESPONSE_HEADERS
    return RESPONSE_HEADERS + encode_fields(((b"grpc-encoding", encoding.encode()),))


def ok_trailers(metadata: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the trailer block that ends a call well, with custom fields."""
    return OK_TRAILERS + encode_fields(metadata)


def trailers(status: GrpcStatus, message: str) -> bytes:
    """Return the trailer block that ends a call which has begun to answer."""
    fields = [(b"grpc-status", str(status.value).encode())]
    if message:
        fields.append((b"grpc-message", encode_message(message)))
    return encode_fields(fields)


def trailers_only(status: GrpcStatus, message: str) -> bytes:
    """Return the header block that is all of an answer: a failed call that has sent nothing yet."""
    return RESPONSE_HEADERS + trailers(status, message)


def http_status_only(http_status: int) -> bytes:
    """Return the header block that answers what is no gRPC call."""
    return encode_fields(((b":status", str(http_status).encode()), (b"content-length", b"0")))


def encode_message(text: str) -> bytes:
    """Write a status message: UTF-8, with all but printable ASCII, `%` and a space at an end as `%XX`."""
    raw = text[:_MAX_MESSAGE_BYTES].encode(errors="replace")
    coded = quote_from_bytes(raw, safe=_PRINTABLE)
    if len(coded) > _MAX_MESSAGE_BYTES:
        sizes = list(accumulate(_CODED_BYTES[byte] for byte in raw[:_MAX_MESSAGE_BYTES]))
        whole = raw[: bisect_right(sizes, _MAX_MESSAGE_BYTES)].decode(errors="ignore").encode()
        coded = quote_from_bytes(whole, safe=_PRINTABLE)
    return _END_SPACE.sub("%20", coded).encode()


_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_CODED_BYTES = tuple(1 if chr(byte) in _PRINTABLE else 3 for byte in range(256))
_END_SPACE = re.compile(r"^ | $")
