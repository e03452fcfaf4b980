# SPDX-License-Identifier: Apache-2.0
"""Both ends of an HTTP/2 conversation without sockets: our server, and a client that can say anything."""

from collections.abc import Sequence
from typing import NamedTuple

from hpack import Decoder, Encoder

from naiad.protocol.http2 import frames
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.limits import Http2Limits, PingPolicy
from naiad.protocol.http2.streams import Buffer, Stream

REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/inference.GRPCInferenceService/ModelInfer"),
    (":authority", "localhost:8001"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)


class Frame(NamedTuple):
    """A frame as it went over the wire."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def read_frames(data: bytes) -> list[Frame]:
    """Cut what a server has sent into frames; all of them must be whole."""
    found = []
    while data:
        high, low, kind, flags, stream_id = frames.HEADER.unpack_from(data)
        size = high << 16 | low
        assert len(data) >= 9 + size, "a frame is cut short"
        found.append(Frame(kind, flags, stream_id, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


class Body:
    """A sink that keeps what it gets."""

    def __init__(self, direct: bool = False) -> None:
        self.data = bytearray()
        self.events: list[str] = []
        self._direct = bytearray() if direct else None

    def append(self, data: memoryview) -> None:
        self.data += data

    def room(self, most_bytes: int) -> memoryview | None:
        if self._direct is None:
            return None
        self._direct = bytearray(most_bytes)
        return memoryview(self._direct)

    def advance(self, count: int) -> None:
        assert self._direct is not None
        self.data += self._direct[:count]

    def end(self) -> None:
        self.events.append("end")

    def reset(self) -> None:
        self.events.append("reset")

    def drained(self) -> None:
        self.events.append("drained")


class Conversation:
    """A server's connection and what its client can say to it."""

    def __init__(
        self,
        limits: Http2Limits | None = None,
        pings: PingPolicy | None = None,
        settings: Sequence[tuple[int, int]] = (),
        *,
        direct: bool = False,
    ) -> None:
        self.accepted: list[Stream] = []
        self.bodies: dict[int, Body] = {}
        self._direct = direct
        self.server = Connection(self._accept, limits, pings)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.say(frames.PREFACE + frames.settings(settings))
        self.greeting = self.heard()

    def _accept(self, stream: Stream) -> None:
        self.accepted.append(stream)
        stream.sink = self.bodies[stream.id] = Body(self._direct)

    def say(self, data: bytes) -> None:
        """Send bytes to the server."""
        self.server.receive(memoryview(data))

    def heard(self) -> list[Frame]:
        """Return the frames that the server has sent since the last time."""
        return read_frames(self.raw_heard())

    def raw_heard(self) -> bytes:
        """Return the bytes that the server has sent since the last time."""
        buffers: list[Buffer] = self.server.take_output()
        return b"".join(buffers)

    def block(self, *extra: tuple[str, str]) -> bytes:
        """Return a header block of a request."""
        return self.encoder.encode([*REQUEST, *extra])

    def ask(self, stream_id: int = 1, body: bytes = b"", *extra: tuple[str, str], ends: bool = True) -> Stream:
        """Send a request; return its stream as the server has it."""
        flags = frames.END_HEADERS | (frames.END_STREAM if ends and not body else 0)
        self.say(frames.frame(frames.HEADERS, flags, stream_id, self.block(*extra)))
        if body:
            self.say(frames.frame(frames.DATA, frames.END_STREAM if ends else 0, stream_id, body))
        return self.accepted[-1]

    def fields(self, frame: Frame) -> dict[str, str]:
        """Return the fields of a HEADERS frame of the server."""
        assert frame.kind == frames.HEADERS
        return {str(name): str(value) for name, value in self.decoder.decode(frame.payload)}


def goaway_of(heard: Sequence[Frame]) -> tuple[int, str]:
    """Return error code and text of the GOAWAY that ends what was heard."""
    last = heard[-1]
    assert last.kind == frames.GOAWAY
    return int.from_bytes(last.payload[4:8]), last.payload[8:].decode()


def reset_code(heard: Sequence[Frame], stream_id: int = 1) -> int:
    """Return the error code of the only RST_STREAM that was heard."""
    (frame,) = [one for one in heard if one.kind == frames.RST_STREAM]
    assert frame.stream_id == stream_id
    return int.from_bytes(frame.payload)
