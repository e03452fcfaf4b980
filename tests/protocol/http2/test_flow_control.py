# SPDX-License-Identifier: Apache-2.0
"""Windows, both ways."""

import struct

from tests.protocol.http2.conversation import Conversation, Frame, goaway_of, reset_code

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ErrorCode
from naiad.protocol.http2.frames import (
    ACK,
    DATA,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.limits import Http2Limits

OK = encode_fields(((b":status", b"200"),))
DONE = encode_fields(((b"grpc-status", b"0"),))


def sizes(heard: list[Frame], stream_id: int = 1) -> list[int]:
    return [len(one.payload) for one in heard if one.kind == DATA and one.stream_id == stream_id]


def test_a_body_is_cut_into_frames_that_the_client_takes() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 2**20), (MAX_FRAME_SIZE, 20_000)])
    stream = talk.ask(1)
    talk.server.respond(stream, OK, (b"a" * 30_000, memoryview(b"b" * 20_000)), 50_000, DONE)
    heard = talk.heard()
    assert sizes(heard) == [20_000, 20_000, 10_000]
    assert b"".join(one.payload for one in heard if one.kind == DATA) == b"a" * 30_000 + b"b" * 20_000
    assert heard[-1].flags & frames.END_STREAM


def test_frames_are_never_larger_than_what_the_server_takes_itself() -> None:
    talk = Conversation(
        Http2Limits(max_frame_bytes=30_000), settings=[(INITIAL_WINDOW_SIZE, 2**20), (MAX_FRAME_SIZE, 2**20)]
    )
    talk.server.respond(talk.ask(1), OK, (bytes(60_000),), 60_000, DONE)
    assert sizes(talk.heard()) == [30_000, 30_000]


def test_a_body_waits_for_the_streams_window_then_ends() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 10)])
    stream = talk.ask(1)
    talk.server.respond(stream, OK, (b"0123456789abcdef",), 16, DONE)
    assert sizes(talk.heard()) == [10]
    talk.say(frames.window_update(1, 2))
    assert sizes(talk.heard()) == [2]
    talk.say(frames.settings([(INITIAL_WINDOW_SIZE, 14)]))
    heard = talk.heard()
    assert sizes(heard) == [4]
    assert [one.kind for one in heard if one.stream_id] == [DATA, HEADERS]
    assert talk.server.streams == {}


def test_a_wider_window_is_acknowledged_before_it_is_used() -> None:
    """Until then the client counts with the narrow one; gRPC's closes the stream for bytes beyond it."""
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 10)])
    talk.server.respond(talk.ask(1), OK, (b"0123456789abcdef",), 16, DONE)
    talk.heard()
    talk.say(frames.settings([(INITIAL_WINDOW_SIZE, 16)]))
    assert [(one.kind, one.flags) for one in talk.heard()][:2] == [(SETTINGS, ACK), (DATA, 0)]


def test_a_window_made_smaller_may_be_negative() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 10)])
    stream = talk.ask(1)
    talk.server.respond(stream, OK, (b"0123456789abcdef",), 16, DONE)
    talk.say(frames.settings([(INITIAL_WINDOW_SIZE, 0)]))
    talk.say(frames.window_update(1, 10))
    assert sizes(talk.heard()) == [10]
    talk.say(frames.window_update(1, 6))
    assert sizes(talk.heard()) == [6]


def test_streams_share_the_connections_window_in_turns() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 2**20)])
    first, second = talk.ask(1), talk.ask(3)
    talk.server.respond(first, OK, (bytes(400_000),), 400_000, DONE)
    talk.server.respond(second, OK, (bytes(400_000),), 400_000, DONE)
    assert sum(sizes(talk.heard(), 1)) == 65_535
    talk.say(frames.window_update(0, 400_000))
    heard = talk.heard()
    assert sum(sizes(heard, 1)) == 256 * 1024
    assert sum(sizes(heard, 3)) == 400_000 - 256 * 1024
    talk.say(frames.window_update(0, 400_000))
    heard = talk.heard()
    assert sum(sizes(heard, 1)) + sum(sizes(heard, 3)) == 800_000 - 65_535 - 400_000
    assert talk.server.streams == {}


def test_nothing_but_heads_goes_while_the_transport_is_full() -> None:
    talk = Conversation()
    stream = talk.ask(1)
    talk.server.hold()
    talk.server.respond(stream, OK, (b"hello",), 5, DONE)
    assert [one.kind for one in talk.heard()] == [HEADERS]
    talk.server.release()
    assert [one.kind for one in talk.heard()] == [DATA, HEADERS]


def test_a_sink_is_told_when_all_that_waited_has_gone() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 3)])
    stream = talk.ask(1)
    talk.server.send_headers(stream, OK)
    talk.server.send_data(stream, (b"abc",), 3)
    talk.server.send_data(stream, (b"de",), 2)
    assert (talk.bodies[1].events, stream.waiting_bytes) == (["end"], 2)
    talk.say(frames.window_update(1, 100))
    assert (talk.bodies[1].events, stream.waiting_bytes) == (["end", "drained"], 0)


def test_windows_of_the_server_open_again_at_half() -> None:
    talk = Conversation(Http2Limits(stream_window_bytes=100, connection_window_bytes=70_000))
    talk.ask(1, bytes(49), ends=False)
    assert talk.heard() == []
    talk.say(frame(DATA, 0, 1, b"x"))
    assert talk.heard() == [Frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 50))]
    for stream_id in range(3, 1000, 2):
        talk.ask(stream_id, bytes(100))
    updates = [one for one in talk.heard() if one.kind == WINDOW_UPDATE]
    assert updates == [Frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 35_050))]


def test_a_stream_that_is_held_back_gets_no_more_window() -> None:
    talk = Conversation(Http2Limits(stream_window_bytes=100))
    stream = talk.ask(1, bytes(40), ends=False)
    talk.server.hold_back(stream, True)
    talk.say(frame(DATA, 0, 1, bytes(60)))
    assert talk.heard() == []
    talk.server.hold_back(stream, False)
    assert talk.heard() == [Frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 100))]


def test_more_than_the_connections_window_ends_the_connection() -> None:
    talk = Conversation(Http2Limits(connection_window_bytes=70_000, stream_window_bytes=2**20, max_frame_bytes=2**20))
    talk.ask(1, ends=False)
    talk.say(frames.data_header(70_001, 0, 1))
    assert goaway_of(talk.heard())[0] == ErrorCode.FLOW_CONTROL_ERROR


def test_data_for_nobody_is_credited_all_the_same() -> None:
    talk = Conversation(Http2Limits(connection_window_bytes=70_000))
    stream = talk.ask(1, ends=False)
    talk.server.send_trailers(stream, OK)
    talk.heard()
    for _ in range(4):
        talk.say(frame(DATA, 0, 1, bytes(10_000)))
    assert talk.heard() == [Frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 40_000))]


def test_a_client_that_takes_too_little_loses_its_stream() -> None:
    limits = Http2Limits(stall_s=10, stall_progress_bytes=100)
    talk = Conversation(limits, settings=[(INITIAL_WINDOW_SIZE, 1)])
    talk.server.respond(talk.ask(1), OK, (bytes(1000),), 1000, DONE)
    for now_s in (0.0, 9.0):
        talk.server.now_s = now_s
        talk.server.check_stalls()
        talk.say(frames.window_update(1, 60))
    talk.server.now_s = 10.5
    talk.server.check_stalls()  # 120 bytes since the first look: enough
    talk.say(frames.window_update(1, 60))
    talk.server.now_s = 20.4
    talk.server.check_stalls()
    assert [one for one in talk.heard() if one.kind == frames.RST_STREAM] == []
    talk.server.now_s = 21.0
    talk.server.check_stalls()
    assert reset_code(talk.heard()) == ErrorCode.ENHANCE_YOUR_CALM
    assert talk.bodies[1].events == ["end", "reset"]


def test_a_client_that_took_all_may_take_its_time_with_the_next() -> None:
    """Little was sent since the first look, long ago; but nothing waited in between."""
    limits = Http2Limits(stall_s=10, stall_progress_bytes=100)
    talk = Conversation(limits, settings=[(INITIAL_WINDOW_SIZE, 1)])
    stream = talk.ask(1)
    talk.server.send_headers(stream, OK)
    for now_s in (0.0, 3600.0):
        talk.server.now_s = now_s
        talk.server.send_data(stream, (b"abc",), 3)
        talk.server.check_stalls()
        talk.say(frames.window_update(1, 3))
    assert [one for one in talk.heard() if one.kind == frames.RST_STREAM] == []


def test_every_value_of_a_window_is_checked_though_only_the_last_counts() -> None:
    talk = Conversation()
    talk.ask(1)
    talk.say(frames.window_update(1, 2**31 - 1 - 65_535))
    talk.say(frames.settings([(INITIAL_WINDOW_SIZE, 65_536), (INITIAL_WINDOW_SIZE, 1)]))
    assert goaway_of(talk.heard()) == (ErrorCode.FLOW_CONTROL_ERROR, "a stream's window grows too large")


def test_a_stream_whose_window_was_taken_away_waits_for_it() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 10)])
    talk.server.hold()
    talk.server.respond(talk.ask(1), OK, (bytes(20),), 20, DONE)
    talk.say(frames.settings([(INITIAL_WINDOW_SIZE, 0)]))
    talk.server.release()
    assert sizes(talk.heard()) == []
    talk.say(frames.settings([(INITIAL_WINDOW_SIZE, 15)]))
    talk.say(frames.window_update(1, 5))
    assert sizes(talk.heard()) == [15, 5]


def test_a_stream_that_is_reset_while_it_waits_is_passed_over() -> None:
    talk = Conversation(settings=[(INITIAL_WINDOW_SIZE, 10)])
    talk.server.hold()
    for stream_id in (1, 3):
        talk.server.respond(talk.ask(stream_id), OK, (bytes(10),), 10, DONE)
    talk.say(frames.rst_stream(1, ErrorCode.CANCEL))
    talk.heard()
    talk.server.release()
    assert [(one.kind, one.stream_id) for one in talk.heard()] == [(DATA, 3), (HEADERS, 3)]
