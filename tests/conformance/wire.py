# SPDX-License-Identifier: Apache-2.0
"""HTTP over a bare socket, since what is compared includes what a client library would hide."""

import socket
from dataclasses import dataclass
from typing import NamedTuple

_TIMEOUT_S = 30
_CLOSING_S = 0.25
"""How long a connection that stays open is watched before it counts as such."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; it is sent as written, with `Host` and, for a body, `Content-Length` unless they are given."""

    method: str
    target: str
    body: bytes = b""
    headers: Headers = ()

    def encoded(self) -> bytes:
        """Return what goes over the wire."""
        given = {name.lower() for name, _ in self.headers}
        headers = list(self.headers)
        if "host" not in given:
            headers.insert(0, ("Host", "localhost"))
        if not given & {"content-length", "transfer-encoding"} and (self.body or self.method == "POST"):
            headers.append(("Content-Length", str(len(self.body))))
        head = f"{self.method} {self.target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
        return head.encode("latin-1") + b"\r\n" + self.body


class Answer(NamedTuple):
    """One HTTP response; header names are in lower case, interim responses are kept apart."""

    version: str
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    interim: tuple[int, ...] = ()


class Conversation(NamedTuple):
    """The answers to what was sent, and whether the server then closed the connection (None: nobody looked)."""

    answers: list[Answer]
    closed: bool | None = None


def converse(
    port: int, sent: bytes, expected: int = 1, *, head_only: bool = False, watch: bool = False
) -> Conversation:
    """Send bytes to a server on this machine and read as many answers as expected, fewer if it closes before.

    `head_only`: answers have no body, whatever they announce. `watch` to learn whether the connection is then closed.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(sent)
        reader = _Reader(connection)
        answers: list[Answer] = []
        while len(answers) < expected and (answer := reader.answer(head_only=head_only)) is not None:
            answers.append(answer)
        return Conversation(answers, reader.is_closed() if watch else None)


class _Reader:
    """Reads responses from a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def answer(self, *, head_only: bool) -> Answer | None:
        """Return the next final response; None at the end of the connection."""
        interim: list[int] = []
        while (head := self._until(b"\r\n\r\n")) is not None:
            status_line, *lines = head.decode("latin-1").split("\r\n")
            version, status, reason = (*status_line.split(" ", 2), "", "")[:3]
            if int(status) < 200:
                interim.append(int(status))
                continue
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = b"" if head_only else self._body(headers)
            return Answer(version, int(status), reason, headers, body, tuple(interim))
        return None

    def is_closed(self) -> bool:
        """Tell whether the connection ends without another byte."""
        self._connection.settimeout(_CLOSING_S)
        try:
            return not self._buffer and self._connection.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while self._receive():
            pass
        return self._exactly(len(self._buffer))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n") or b"0", 16):
            body += self._exactly(size)
            self._exactly(2)
        self._until(b"\r\n")
        return body

    def _until(self, end: bytes) -> bytes | None:
        while end not in self._buffer:
            if not self._receive():
                return None
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._receive():
            pass
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _receive(self) -> bool:
        try:
            received = self._connection.recv(1 << 16)
        except ConnectionResetError:
            return False
        self._buffer += received
        return bool(received)
