# SPDX-License-Identifier: Apache-2.0
"""The head of an HTTP/1.1 request: bytes to a frozen value, and the limits of what a client may send.

`httptools` (llhttp) checks the head and splits its fields; it is fed one head, up to its empty line, and thrown away,
so that no parser state can leak from one request into the next. What frames the body is judged here.
The stance is strict (RFC 9112): whatever two parsers could read differently is refused, never repaired.
May import `httptools` and `errors`, nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import httptools

from naiad.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, in bytes and counts.

    `head_bytes` covers request line and header fields together, `target_bytes` the request target, `body_bytes` a
    body after chunks are joined (Triton's limit: what an `int` holds). `chunk_line_bytes` covers a chunk's size with
    its extensions, `trailer_bytes` all trailer fields; both are read and ignored.
    """

    head_bytes: int = 64 * 1024
    target_bytes: int = 8 * 1024
    header_count: int = 256
    body_bytes: int = 2**31 - 1
    chunk_count: int = 65536
    chunk_line_bytes: int = 1024
    trailer_bytes: int = 8 * 1024


class HttpError(InvalidArgumentError):
    """A request that is not read; it is answered with `status` and `headers`, then the connection is closed."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class RequestHead(NamedTuple):
    """A request line and its header fields.

    `target` is as sent, `path` and `query` are its parts, still percent-encoded: like Triton, nothing is decoded.
    `headers` has lower-case names; fields sent several times are joined by `, `. `fields` are as they came, names in
    the client's case, values without the spaces around them. `content_length` is 0 without a body and for a `chunked`
    one.
    """

    method: str
    target: str
    path: str
    query: str
    version: str
    headers: Mapping[bytes, bytes]
    fields: tuple[tuple[bytes, bytes], ...]
    keep_alive: bool
    content_length: int
    chunked: bool
    expect_continue: bool


def parse_head(head: bytes, limits: Limits) -> RequestHead:
    """Parse one request head, `head` ending with its empty line.

    Raises:
        HttpError: it is malformed, ambiguous, too large, or asks for what this server cannot do.
    """
    method, target, version = _split_request_line(head[: head.index(b"\r\n")], limits)
    fields = _parse_fields(head, limits)
    headers = _joined(fields)
    chunked = _is_chunked(headers, version)
    path, _, query = _origin_form(target).partition("?")
    return RequestHead(
        method=method,
        target=target,
        path=path,
        query=query,
        version=version,
        headers=MappingProxyType(headers),
        fields=fields,
        keep_alive=_keeps_alive(headers.get(b"connection"), version),
        content_length=_content_length(headers.get(b"content-length"), limits),
        chunked=chunked,
        expect_continue=_expects_continue(headers.get(b"expect"), version),
    )


def _split_request_line(line: bytes, limits: Limits) -> tuple[str, str, str]:
    """Return method, target and version ("1.0" or "1.1"); exactly one space stands between them."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise HttpError(400, f"malformed HTTP request line {shown(line)}, expected 'METHOD /path HTTP/1.1'")
    method, target, version = parts
    if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
        if version.startswith(b"HTTP/"):
            raise HttpError(505, f"{shown(version)} is not spoken on this port, use HTTP/1.1 (it has no gRPC either)")
        raise HttpError(400, f"malformed HTTP request line {shown(line)}, expected 'METHOD /path HTTP/1.1'")
    if len(target) > limits.target_bytes:
        raise HttpError(414, too_long_target(limits))
    return method.decode("latin-1"), target.decode("latin-1"), version[5:].decode("ascii")


def _origin_form(target: str) -> str:
    """Strip scheme and authority from an absolute-form target (`http://host/path`), which proxies send."""
    if target.startswith("/") or target == "*":
        return target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        raise HttpError(400, f"request target {shown(target.encode('latin-1'))} is not a path, expected '/v2/...'")
    authority_end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    path = rest[authority_end:]
    return path if path.startswith("/") else "/" + path


class _Fields:
    """Receives llhttp's callbacks: header fields as they are, in order."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value.strip(b" \t")))


def _parse_fields(head: bytes, limits: Limits) -> tuple[tuple[bytes, bytes], ...]:
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # `Upgrade` is an offer, which a server may leave aside (RFC 9110 §7.8)
    except httptools.HttpParserInvalidMethodError:
        method = head.partition(b" ")[0]
        raise HttpError(501, f"unknown HTTP method {shown(method)}, use GET or POST") from None
    except httptools.HttpParserError as error:
        for name, value in fields.pairs:
            if name.lower() == b"transfer-encoding":
                _refuse_coding(value)
        raise HttpError(400, f"malformed HTTP request: {error}") from None
    if len(fields.pairs) > limits.header_count:
        raise HttpError(431, f"request has more than {limits.header_count} header fields, send fewer")
    return tuple(fields.pairs)


def _joined(fields: tuple[tuple[bytes, bytes], ...]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for raw_name, value in fields:
        name = raw_name.lower()
        if name in headers:
            if name == b"host":
                raise HttpError(400, "malformed HTTP request: several Host header fields, send one")
            headers[name] += b", " + value
        else:
            headers[name] = value
    return headers


def _content_length(value: bytes | None, limits: Limits) -> int:
    """Read a length that llhttp has already found to be one run of digits."""
    if value is None:
        return 0
    length = int(value)
    if length > limits.body_bytes:
        raise HttpError(413, too_large_body(limits, f"{length} bytes"))
    return length


def _is_chunked(headers: Mapping[bytes, bytes], version: str) -> bool:
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        return False
    _refuse_coding(coding)
    if version == "1.0":
        raise HttpError(400, "malformed HTTP request: Transfer-Encoding in HTTP/1.0, use HTTP/1.1")
    return True


def _refuse_coding(coding: bytes) -> None:
    if coding.strip(b" \t").lower() != b"chunked":
        raise HttpError(501, f"unsupported Transfer-Encoding {shown(coding)}, expected 'chunked'")


def _keeps_alive(connection: bytes | None, version: str) -> bool:
    if connection is None:
        return version == "1.1"
    options = {option.strip() for option in connection.lower().split(b",")}
    return b"close" not in options and (version == "1.1" or b"keep-alive" in options)


def _expects_continue(expectation: bytes | None, version: str) -> bool:
    if expectation is None or version == "1.0":
        return False
    if expectation.lower() != b"100-continue":
        raise HttpError(417, f"unsupported Expect {shown(expectation)}, expected '100-continue'")
    return True


def shown(text: bytes) -> str:
    """Quote client bytes for an error: printable ASCII, no more than 64 characters."""
    shown = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in text[:64])
    return f"'{shown}...'" if len(text) > 64 else f"'{shown}'"


def too_long_target(limits: Limits) -> str:
    """Return the text of a 414."""
    return f"request target is longer than {limits.target_bytes} bytes, send a shorter URL"


def too_large_body(limits: Limits, got: str) -> str:
    """Return the text of a 413; `got` tells the size."""
    return f"request body of {got} exceeds the maximum of {limits.body_bytes} bytes, send a smaller batch"
