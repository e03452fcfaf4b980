# SPDX-License-Identifier: Apache-2.0
"""Whole conversations with the `h2` library as the client; cut anyhow; and nonsense, which must end well too."""

import itertools

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.http2.conversation import REQUEST, Body

from naiad.protocol.http2 import frames
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.streams import Stream

OK = encode_fields(((b":status", b"200"), (b"content-type", b"application/grpc")))
DONE = encode_fields(((b"grpc-status", b"0"),))


class Echo:
    """A server that answers each request with its body."""

    def __init__(self, limits: Http2Limits | None = None) -> None:
        self.bodies: dict[int, Body] = {}
        self.connection = Connection(self._accept, limits)

    def _accept(self, stream: Stream) -> None:
        body = self.bodies[stream.id] = Body()
        stream.sink = _EchoBody(body, stream, self)


class _EchoBody:
    def __init__(self, body: Body, stream: Stream, echo: Echo) -> None:
        self.body, self.stream, self.echo = body, stream, echo
        self.append, self.room, self.advance = body.append, body.room, body.advance
        self.reset, self.drained = body.reset, body.drained

    def end(self) -> None:
        self.body.end()
        self.echo.connection.respond(self.stream, OK, (bytes(self.body.data),), len(self.body.data), DONE)


def client() -> h2.connection.H2Connection:
    made = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    made.initiate_connection()
    return made


def talk(made: h2.connection.H2Connection, echo: Echo, cuts: st.DataObject | None = None) -> list[h2.events.Event]:
    """Carry bytes to and fro until nobody has anything to say; return what the client has noticed."""
    events: list[h2.events.Event] = []
    while True:
        said = made.data_to_send()
        for piece in cut(said, cuts):
            echo.connection.receive(memoryview(piece))
        heard = b"".join(echo.connection.take_output())
        for event in made.receive_data(heard) if heard else ():
            events.append(event)
            if isinstance(event, h2.events.DataReceived):
                made.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if not said and not heard:
            return events


def cut(said: bytes, cuts: st.DataObject | None) -> list[bytes]:
    if cuts is None or len(said) < 2:
        return [said] if said else []
    at = sorted(cuts.draw(st.sets(st.integers(1, len(said) - 1), max_size=8)))
    return [said[start:stop] for start, stop in itertools.pairwise([0, *at, len(said)])]


@settings(max_examples=50)
@given(st.data(), st.lists(st.integers(0, 200_000), min_size=1, max_size=6), st.sampled_from([1000, 65_535, 2**20]))
def test_the_h2_library_gets_its_bodies_back_however_they_are_cut(
    data: st.DataObject, sizes: list[int], window: int
) -> None:
    echo, made = Echo(), client()
    made.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    events = talk(made, echo)
    for stream_id, size in zip(range(1, 100, 2), sizes, strict=False):
        made.send_headers(stream_id, list(REQUEST))
        body = bytes(i % 251 for i in range(size))
        sent = 0
        while sent < size:
            room = min(made.local_flow_control_window(stream_id), made.max_outbound_frame_size, size - sent)
            if room <= 0:
                events += talk(made, echo, data)
                continue
            made.send_data(stream_id, body[sent : sent + room])
            sent += room
        made.end_stream(stream_id)
    events += talk(made, echo, data)
    for stream_id, size in zip(range(1, 100, 2), sizes, strict=False):
        got = b"".join(e.data for e in events if isinstance(e, h2.events.DataReceived) and e.stream_id == stream_id)
        assert got == bytes(i % 251 for i in range(size))
        trailers = [e for e in events if isinstance(e, h2.events.TrailersReceived) and e.stream_id == stream_id]
        assert [dict(e.headers) for e in trailers] == [{b"grpc-status": b"0"}]
    assert echo.connection.streams == {}
    assert not echo.connection.is_broken


_BLOCK = encode_fields((name.encode(), value.encode()) for name, value in REQUEST)
_KINDS = st.one_of(st.integers(0, 10), st.integers(0, 255))
_FRAMES = st.builds(
    frames.frame,
    _KINDS,
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0x2D]), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 3, 5, 7]), st.integers(0, 2**32 - 1)),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([_BLOCK, bytes(4), bytes(8), b"\0\4\0\0\0\1"]),
    ),
)


@settings(max_examples=300)
@given(st.lists(_FRAMES, max_size=20), st.data())
def test_nonsense_ends_in_order_and_the_same_however_it_is_cut(said: list[bytes], data: st.DataObject) -> None:
    whole = frames.PREFACE + frames.settings([]) + b"".join(said)
    outcomes = []
    for pieces in ([whole], [whole[i : i + 1] for i in range(len(whole))], cut(whole, data)):
        echo = Echo(Http2Limits(stream_window_bytes=100, concurrent_streams=3))
        heard = b""
        for piece in pieces:
            echo.connection.receive(memoryview(piece))
            heard += b"".join(echo.connection.take_output())
        bodies = {number: (bytes(body.data), body.events) for number, body in echo.bodies.items()}
        outcomes.append((heard, bodies, echo.connection.is_broken, sorted(echo.connection.streams)))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    broken, open_streams = outcomes[0][2:]
    assert not (broken and open_streams)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_end_in_order(noise: bytes) -> None:
    echo = Echo()
    echo.connection.receive(memoryview(frames.PREFACE + frames.settings([]) + noise))
    echo.connection.receive(memoryview(noise))
    assert all(not body.events[1:] or body.events == ["end", "reset"] for body in echo.bodies.values())
