# SPDX-License-Identifier: Apache-2.0
"""The state machine of a connection, frame by frame, without sockets."""

import struct

import pytest
from tests.protocol.http2.conversation import Conversation, Frame, goaway_of, read_frames, reset_code

from naiad.protocol.http2 import frames
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.faults import ErrorCode
from naiad.protocol.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from naiad.protocol.http2.greeting import HTTP1_ANSWER
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.limits import Http2Limits

OK = encode_fields(((b":status", b"200"),))
DONE = encode_fields(((b"grpc-status", b"0"),))


def test_the_server_says_what_it_allows_and_acknowledges_the_clients_settings() -> None:
    limits = Http2Limits()
    first, window, acknowledgement = Conversation().greeting
    assert first.kind == SETTINGS
    assert dict(struct.iter_unpack(">HI", first.payload)) == {
        frames.MAX_CONCURRENT_STREAMS: limits.concurrent_streams,
        frames.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
        frames.MAX_FRAME_SIZE: limits.max_frame_bytes,
        frames.MAX_HEADER_LIST_SIZE: limits.header_list_bytes,
    }
    assert window == Frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", limits.connection_window_bytes - 65535))
    assert acknowledgement == Frame(SETTINGS, ACK, 0, b"")


def test_a_request_reaches_its_sink_and_is_answered() -> None:
    talk = Conversation()
    stream = talk.ask(1, b"hello")
    assert (stream.head.method, stream.head.path) == ("POST", "/inference.GRPCInferenceService/ModelInfer")
    assert (stream.head.scheme, stream.head.authority) == ("http", "localhost:8001")
    assert stream.head.fields == ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
    assert (bytes(talk.bodies[1].data), talk.bodies[1].events) == (b"hello", ["end"])
    talk.server.respond(stream, OK, (b"wor", b"ld"), 5, DONE)
    head, data, trailer = talk.heard()
    assert talk.fields(head) == {":status": "200"}
    assert data == Frame(DATA, 0, 1, b"world")
    assert talk.fields(trailer) == {"grpc-status": "0"}
    assert trailer.flags == END_STREAM | END_HEADERS
    assert talk.server.streams == {}


def test_a_request_without_a_body_ends_with_its_head() -> None:
    talk = Conversation()
    talk.ask(1)
    assert talk.bodies[1].events == ["end"]


def test_a_trailer_ends_a_request() -> None:
    talk = Conversation()
    talk.ask(1, b"x", ends=False)
    talk.say(frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.encoder.encode([("a", "b")])))
    assert talk.bodies[1].events == ["end"]
    assert talk.heard() == []


def test_padding_is_taken_off_and_counted() -> None:
    talk = Conversation(Http2Limits(stream_window_bytes=20))
    talk.say(frame(HEADERS, END_HEADERS | PADDED, 1, b"\x03" + talk.block() + b"\0\0\0"))
    talk.say(frame(DATA, PADDED, 1, b"\x05hello\0\0\0\0\0"))
    assert bytes(talk.bodies[1].data) == b"hello"
    assert talk.heard() == [Frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 11))]


def test_a_header_block_may_be_in_several_frames() -> None:
    talk = Conversation()
    block = talk.block()
    talk.say(frame(HEADERS, END_STREAM, 1, block[:3]))
    talk.say(frame(CONTINUATION, 0, 1, block[3:5]))
    assert talk.accepted == []
    talk.say(frame(CONTINUATION, END_HEADERS, 1, block[5:]))
    assert talk.bodies[1].events == ["end"]


def test_priorities_are_taken_note_of_and_forgotten() -> None:
    talk = Conversation()
    talk.say(frame(PRIORITY, 0, 5, b"\0\0\0\0\x10"))
    talk.say(frame(HEADERS, END_HEADERS | END_STREAM | 0x20, 1, b"\0\0\0\0\x10" + talk.block()))
    assert talk.bodies[1].events == ["end"]


def test_frames_of_unknown_types_are_passed_over() -> None:
    talk = Conversation()
    talk.say(frame(0xBE, 0xFF, 7, b"whatever"))
    assert talk.heard() == []


def test_a_ping_is_answered_with_its_data() -> None:
    talk = Conversation()
    talk.say(frame(PING, 0, 0, b"12345678"))
    assert talk.heard() == [Frame(PING, ACK, 0, b"12345678")]
    talk.server.ping()
    (ping,) = talk.heard()
    talk.say(frame(PING, ACK, 0, ping.payload))
    assert talk.server.acknowledged_pings == 1
    assert talk.heard() == []


def test_a_body_can_be_received_in_its_place() -> None:
    talk = Conversation(direct=True)
    talk.ask(1, ends=False)
    talk.say(frames.data_header(100, END_STREAM, 1) + b"x" * 10)
    assert talk.server.room(91) is None
    room = talk.server.room(90)
    assert room is not None
    assert len(room) == 90
    room[:50] = b"y" * 50
    talk.server.passed_by(50)
    talk.say(b"z" * 40)
    assert bytes(talk.bodies[1].data) == b"x" * 10 + b"y" * 50 + b"z" * 40
    assert talk.bodies[1].events == ["end"]
    assert talk.server.room(1) is None


def test_an_answer_before_the_end_of_the_request_stops_the_request() -> None:
    talk = Conversation()
    stream = talk.ask(1, b"x", ends=False)
    talk.server.send_trailers(stream, OK + DONE)
    assert reset_code(talk.heard()) == ErrorCode.NO_ERROR
    talk.say(frame(DATA, END_STREAM, 1, b"late"))
    assert talk.heard() == []
    assert talk.bodies[1].events == []


def test_a_reset_by_the_client_is_told_to_the_sink_once() -> None:
    talk = Conversation()
    stream = talk.ask(1, b"x")
    talk.say(frames.rst_stream(1, ErrorCode.CANCEL))
    assert talk.bodies[1].events == ["end", "reset"]
    talk.server.respond(stream, OK, (b"late",), 4, DONE)
    assert talk.heard() == []
    talk.say(frames.rst_stream(1, ErrorCode.CANCEL))
    talk.server.lose()
    assert talk.bodies[1].events == ["end", "reset"]


def test_the_loss_of_the_connection_is_told_to_every_sink() -> None:
    talk = Conversation()
    talk.ask(1, ends=False)
    talk.ask(3)
    talk.server.lose()
    assert (talk.bodies[1].events, talk.bodies[3].events) == (["reset"], ["end", "reset"])
    assert talk.server.is_broken


def test_streams_beyond_the_allowed_number_are_refused_and_may_be_tried_again() -> None:
    talk = Conversation(Http2Limits(concurrent_streams=1))
    first = talk.ask(1)
    talk.say(frame(HEADERS, END_HEADERS, 3, talk.block()))
    assert reset_code(talk.heard(), 3) == ErrorCode.REFUSED_STREAM
    talk.say(frame(DATA, END_STREAM, 3, b"under way"))
    talk.server.send_trailers(first, OK)
    talk.ask(5)
    assert [stream.id for stream in talk.accepted] == [1, 5]


def test_a_leaving_server_serves_what_was_opened_and_refuses_the_rest() -> None:
    talk = Conversation()
    talk.server.announce_leaving()
    assert talk.heard() == [Frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0leaving")]
    talk.ask(1)
    talk.server.leave()
    assert talk.heard() == [Frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0leaving")]
    talk.say(frame(HEADERS, END_HEADERS | END_STREAM, 3, talk.block()))
    assert reset_code(talk.heard(), 3) == ErrorCode.REFUSED_STREAM
    talk.server.send_trailers(talk.accepted[0], OK)
    assert len(talk.heard()) == 1


@pytest.mark.parametrize("leaves", [True, False])
def test_settings_are_the_first_frame_even_of_a_server_that_ends_at_once(leaves: bool) -> None:
    """RFC 9113 §3.4; a client that gets something else first sees a broken server, and not why it has to go."""
    server = Connection(lambda _: None)
    if leaves:
        server.announce_leaving()
    else:
        server.fail(ErrorCode.ENHANCE_YOUR_CALM, "too many connections")
    server.receive(memoryview(frames.PREFACE + frames.settings([])))
    heard = [one.kind for one in read_frames(b"".join(server.take_output()))]
    assert heard == [SETTINGS, WINDOW_UPDATE, GOAWAY, *([SETTINGS] if leaves else [])]


def test_a_client_may_leave() -> None:
    talk = Conversation()
    stream = talk.ask(1)
    talk.say(frames.goaway(0, ErrorCode.NO_ERROR))
    talk.server.send_trailers(stream, OK)
    assert [one.kind for one in talk.heard()] == [HEADERS]
    assert not talk.server.is_broken


@pytest.mark.parametrize("piece", [1, 3, 24])
def test_http1_is_told_where_it_is(piece: int) -> None:
    server = Connection(lambda _: None)
    text = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for start in range(0, len(text), piece):
        server.receive(memoryview(text[start : start + piece]))
    heard = b"".join(server.take_output())
    assert heard == HTTP1_ANSWER
    assert server.is_broken


def test_a_wrong_preface_ends_the_connection() -> None:
    server = Connection(lambda _: None)
    server.receive(memoryview(b"\x16\x03\x01"))
    assert server.is_broken


BIG = Http2Limits().max_frame_bytes + 1


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param(frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR, id="DATA on stream 0"),
        pytest.param(frame(DATA, 0, 5, b"x"), ErrorCode.PROTOCOL_ERROR, id="DATA on an idle stream"),
        pytest.param(frame(DATA, PADDED, 1, b""), ErrorCode.PROTOCOL_ERROR, id="DATA without padding's length"),
        pytest.param(frame(DATA, PADDED, 1, b"\x03ab"), ErrorCode.PROTOCOL_ERROR, id="DATA of padding only, and more"),
        pytest.param(frames.data_header(BIG, 0, 1), ErrorCode.FRAME_SIZE_ERROR, id="a frame that is too large"),
        pytest.param(frame(HEADERS, END_HEADERS, 0, b"\x82"), ErrorCode.PROTOCOL_ERROR, id="HEADERS on stream 0"),
        pytest.param(frame(HEADERS, END_HEADERS, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR, id="HEADERS on an even stream"),
        pytest.param(frame(HEADERS, END_HEADERS | PADDED, 3, b""), ErrorCode.FRAME_SIZE_ERROR, id="no padding"),
        pytest.param(
            frame(HEADERS, END_HEADERS | PADDED, 3, b"\x05\x82"), ErrorCode.PROTOCOL_ERROR, id="HEADERS of padding only"
        ),
        pytest.param(frame(HEADERS, END_HEADERS | 0x20, 3, b"\0"), ErrorCode.PROTOCOL_ERROR, id="priority cut"),
        pytest.param(frame(HEADERS, END_HEADERS, 3, b"\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR, id="bad HPACK"),
        pytest.param(frame(HEADERS, END_HEADERS, 3, b"\xc6"), ErrorCode.COMPRESSION_ERROR, id="HPACK index unknown"),
        pytest.param(frame(CONTINUATION, END_HEADERS, 1, b""), ErrorCode.PROTOCOL_ERROR, id="CONTINUATION of nothing"),
        pytest.param(
            frame(HEADERS, 0, 3, b"\x82") + frame(PING, 0, 0, bytes(8)),
            ErrorCode.PROTOCOL_ERROR,
            id="interrupted",
        ),
        pytest.param(
            frame(HEADERS, 0, 3, b"\x82") + frame(CONTINUATION, END_HEADERS, 5, b""),
            ErrorCode.PROTOCOL_ERROR,
            id="block goes on elsewhere",
        ),
        pytest.param(frame(PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR, id="PRIORITY on stream 0"),
        pytest.param(frame(PRIORITY, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR, id="PRIORITY of 4 bytes"),
        pytest.param(frames.rst_stream(0, 0), ErrorCode.PROTOCOL_ERROR, id="RST_STREAM on stream 0"),
        pytest.param(frames.rst_stream(9, 0), ErrorCode.PROTOCOL_ERROR, id="RST_STREAM on an idle stream"),
        pytest.param(frame(RST_STREAM, 0, 1, bytes(3)), ErrorCode.FRAME_SIZE_ERROR, id="RST_STREAM of 3 bytes"),
        pytest.param(frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR, id="SETTINGS on a stream"),
        pytest.param(frame(SETTINGS, ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR, id="long acknowledgement"),
        pytest.param(frame(SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR, id="SETTINGS of 5 bytes"),
        pytest.param(frames.settings([(2, 2)]), ErrorCode.PROTOCOL_ERROR, id="ENABLE_PUSH of 2"),
        pytest.param(frames.settings([(4, 2**31)]), ErrorCode.FLOW_CONTROL_ERROR, id="INITIAL_WINDOW_SIZE too large"),
        pytest.param(frames.settings([(5, 16383)]), ErrorCode.PROTOCOL_ERROR, id="MAX_FRAME_SIZE too small"),
        pytest.param(frames.settings([(5, 2**24)]), ErrorCode.PROTOCOL_ERROR, id="MAX_FRAME_SIZE too large"),
        pytest.param(frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR, id="PUSH_PROMISE"),
        pytest.param(frame(PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR, id="PING on a stream"),
        pytest.param(frame(PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR, id="PING of 7 bytes"),
        pytest.param(frame(GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR, id="GOAWAY on a stream"),
        pytest.param(frame(GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR, id="GOAWAY of 7 bytes"),
        pytest.param(frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR, id="WINDOW_UPDATE by 0"),
        pytest.param(frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR, id="window too large"),
        pytest.param(frames.window_update(9, 1), ErrorCode.PROTOCOL_ERROR, id="WINDOW_UPDATE on an idle stream"),
        pytest.param(frame(WINDOW_UPDATE, 0, 0, bytes(3)), ErrorCode.FRAME_SIZE_ERROR, id="WINDOW_UPDATE of 3 bytes"),
    ],
)
def test_what_breaks_the_connection_ends_it_with_the_right_code(said: bytes, code: ErrorCode) -> None:
    talk = Conversation()
    talk.ask(1, ends=False)
    talk.say(said)
    found, text = goaway_of(talk.heard())
    assert found == code
    assert text
    assert talk.server.is_broken
    assert talk.bodies[1].events == ["reset"]
    talk.say(frame(PING, 0, 0, bytes(8)))
    assert talk.heard() == []


def test_the_first_frame_must_be_settings() -> None:
    server = Connection(lambda _: None)
    server.receive(memoryview(frames.PREFACE + frame(PING, 0, 0, bytes(8))))
    assert server.is_broken


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param(frames.window_update(1, 0), ErrorCode.PROTOCOL_ERROR, id="WINDOW_UPDATE by 0"),
        pytest.param(frames.window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR, id="window too large"),
        pytest.param(frame(DATA, 0, 1, bytes(101)), ErrorCode.FLOW_CONTROL_ERROR, id="more than the window"),
        pytest.param(frame(HEADERS, END_HEADERS, 1, b""), ErrorCode.PROTOCOL_ERROR, id="a trailer that ends nothing"),
        pytest.param(
            frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82"), ErrorCode.PROTOCOL_ERROR, id="a trailer with :method"
        ),
    ],
)
def test_what_breaks_a_stream_ends_only_that(said: bytes, code: ErrorCode) -> None:
    talk = Conversation(Http2Limits(stream_window_bytes=100))
    talk.ask(1, ends=False)
    talk.ask(3, ends=False)
    talk.say(said)
    assert reset_code(talk.heard()) == code
    assert (talk.bodies[1].events, talk.bodies[3].events) == (["reset"], [])
    assert not talk.server.is_broken


def test_data_after_the_end_of_a_request_resets_it() -> None:
    talk = Conversation()
    talk.ask(1, b"x")
    talk.say(frame(DATA, 0, 1, b"more"))
    assert reset_code(talk.heard()) == ErrorCode.STREAM_CLOSED
    talk.say(frame(DATA, 0, 1, b"more"))
    assert talk.heard() == []


def test_data_on_a_stream_that_is_over_is_refused() -> None:
    talk = Conversation()
    stream = talk.ask(1)
    talk.server.send_trailers(stream, OK)
    talk.heard()
    talk.say(frame(DATA, 0, 1, b"more"))
    assert reset_code(talk.heard()) == ErrorCode.STREAM_CLOSED


def test_headers_on_a_stream_that_is_over_end_the_connection() -> None:
    talk = Conversation()
    stream = talk.ask(1)
    talk.server.send_trailers(stream, OK)
    talk.heard()
    talk.say(frame(HEADERS, END_HEADERS, 1, talk.block()))
    assert goaway_of(talk.heard())[0] == ErrorCode.STREAM_CLOSED


@pytest.mark.parametrize(("length", "body"), [("5", b"four"), ("5", b"sixsix"), ("1", b"")])
def test_a_body_must_be_as_long_as_it_is_said_to_be(length: str, body: bytes) -> None:
    talk = Conversation()
    flags = END_HEADERS | (0 if body else END_STREAM)
    talk.say(frame(HEADERS, flags, 1, talk.block(("content-length", length))))
    if body:
        talk.say(frame(DATA, END_STREAM, 1, body))
    assert reset_code(talk.heard()) == ErrorCode.PROTOCOL_ERROR


def test_a_body_as_long_as_it_is_said_to_be_is_fine() -> None:
    talk = Conversation()
    talk.ask(1, b"12345", ("content-length", "5"))
    assert talk.bodies[1].events == ["end"]


def test_a_client_with_a_smaller_header_table_is_told_that_it_is_not_used() -> None:
    talk = Conversation(settings=[(frames.HEADER_TABLE_SIZE, 0)])
    first, second = talk.ask(1), talk.ask(3)
    talk.server.send_trailers(first, OK)
    talk.server.send_trailers(second, OK)
    one, other = talk.heard()
    assert one.payload == b"\x20" + OK
    assert other.payload == OK
    talk.decoder.max_allowed_table_size = 0
    assert talk.fields(one) == {":status": "200"}
