# SPDX-License-Identifier: Apache-2.0
"""The head of a request: pseudo-header fields and the others, checked as RFC 9113 §8.2 and §8.3 want it.

May import `faults`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from naiad.protocol.http2.faults import ErrorCode, StreamFailedError

Fields = tuple[tuple[bytes, bytes], ...]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_CONNECTION_SPECIFIC = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


@dataclass(frozen=True, slots=True, eq=False)
class RequestHead:
    """A request's head. `fields` are all but the pseudo-header fields, in order, names in lower case.

    Heads are compared by identity, so that what is worked out for one can be remembered cheaply. `content_length` is
    None without such a field.
    """

    method: str
    scheme: str
    authority: str
    path: str
    fields: Fields
    content_length: int | None = None


def parse_request(fields: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """Return the head that a decoded header block means.

    Raises:
        StreamFailedError: it is malformed.
    """
    pseudo: dict[bytes, str] = {}
    others: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        if name[:1] == b":":
            if others or name in pseudo or name not in _PSEUDO:
                raise _malformed(f"{_shown(name)} is unknown, twice or behind other fields")
            pseudo[name] = _text(name, value)
        else:
            check_field(name, value)
            others.append((name, value))
    method, path = pseudo.get(b":method", ""), pseudo.get(b":path", "")
    if not method or not path or not pseudo.get(b":scheme"):
        raise _malformed("a request needs :method, :scheme and :path")
    authority = pseudo.get(b":authority", "")
    return RequestHead(method, pseudo[b":scheme"], authority, path, tuple(others), _content_length(others))


_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))


def check_field(name: bytes, value: bytes) -> None:
    """Check one field of a head or trailer that is not a pseudo-header field.

    Raises:
        StreamFailedError: it may not be there.
    """
    if not _NAME.fullmatch(name):
        raise _malformed(f"{_shown(name)} is not a field name in lower case")
    if _BAD_VALUE.search(value):
        raise _malformed(f"the value of {_shown(name)} holds characters that it may not")
    if name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
        raise _malformed(f"{_shown(name)} belongs to HTTP/1.1")


def _content_length(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    values = {value for name, value in fields if name == b"content-length"}
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit() or len(value) > 19:
        raise _malformed("content-length is no number, or several")
    return int(value)


def _text(name: bytes, value: bytes) -> str:
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or (value and not text):
        raise _malformed(f"the value of {_shown(name)} is not printable ASCII")
    return text


def _shown(name: bytes) -> str:
    return ascii(name[:64].decode("latin-1"))


def _malformed(text: str) -> StreamFailedError:
    return StreamFailedError(ErrorCode.PROTOCOL_ERROR, f"malformed request: {text}")
