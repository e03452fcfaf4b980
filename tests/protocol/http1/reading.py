# SPDX-License-Identifier: Apache-2.0
"""What a stream of bytes reads as, without sockets."""

from naiad.protocol.http1.head import HttpError, Limits, RequestHead, parse_head
from naiad.protocol.http1.requests import RequestReader

LIMITS = Limits()


class Body(bytearray):
    """A sink."""

    def append(self, data: memoryview) -> None:  # type: ignore[override]
        self.extend(data)


def read_head(text: bytes, limits: Limits = LIMITS) -> RequestHead:
    return parse_head(text.replace(b"\n", b"\r\n") + b"\r\n\r\n", limits)


def read(pieces: list[bytes], limits: Limits = LIMITS, in_place: bool = False) -> list[tuple[str, bytes] | int]:
    """Feed a stream of bytes through one lent buffer; return (path, body) of each request, and the status of an error.

    With `in_place` a body of known length is filled as a connection does it, past the reader.
    """
    reader = RequestReader(limits)
    lent = bytearray(65536)
    requests: list[tuple[str, bytes] | int] = []
    current: tuple[RequestHead, Body] | None = None

    def advance() -> None:
        nonlocal current
        while True:
            if current is None:
                request = reader.next_head()
                if request is None:
                    return
                whole = reader.take_body(16)
                if whole is not None:
                    requests.append((request.path, whole))
                    continue
                current = request, Body()
            request, body = current
            if not reader.read_body(body):
                return
            requests.append((request.path, bytes(body)))
            current = None

    try:
        for piece in pieces:
            rest = piece
            if in_place and current is not None and reader.remaining:
                direct, rest = rest[: reader.remaining], rest[reader.remaining :]
                current[1].extend(direct)
                reader.passed_by(len(direct))
                if not reader.remaining:
                    advance()
            lent[: len(rest)] = rest
            reader.buffer.lend(lent, len(rest))
            advance()
            reader.buffer.keep()
            lent[: len(rest)] = b"\xff" * len(rest)  # what was lent is the lender's again
    except HttpError as error:
        requests.append(error.status)
    return requests
