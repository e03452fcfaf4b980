# SPDX-License-Identifier: Apache-2.0
"""What a hostile client may do, and no more: each limit ends the connection with ENHANCE_YOUR_CALM, and comes back."""

import pytest
from tests.protocol.http2.conversation import Conversation, goaway_of

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ErrorCode
from naiad.protocol.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    SETTINGS,
    frame,
)
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.limits import Http2Limits, PingPolicy, Rate
from naiad.protocol.http2.streams import Stream

CALM = ErrorCode.ENHANCE_YOUR_CALM
ANY_PINGS = PingPolicy(max_strikes=0)


def reset_often(talk: Conversation, count: int, first: int = 1) -> None:
    for stream_id in range(first, first + 2 * count, 2):
        talk.ask(stream_id)
        talk.say(frames.rst_stream(stream_id, ErrorCode.CANCEL))


def test_rapid_resets_end_the_connection() -> None:
    talk = Conversation(Http2Limits(resets=Rate(10, 1.0)))
    reset_often(talk, 10)
    assert not talk.server.is_broken
    reset_often(talk, 1, first=21)
    assert goaway_of(talk.heard()) == (CALM, "too many streams reset")


def test_resets_are_forgiven_with_time() -> None:
    talk = Conversation(Http2Limits(resets=Rate(10, 1.0)))
    reset_often(talk, 10)
    talk.server.now_s = 5.0
    reset_often(talk, 5, first=21)
    assert not talk.server.is_broken
    reset_often(talk, 1, first=31)
    assert talk.server.is_broken


def test_resets_that_the_client_provokes_count_too() -> None:
    talk = Conversation(Http2Limits(resets=Rate(10, 1.0)))
    for stream_id in range(1, 40, 2):
        if not talk.server.is_broken:
            talk.ask(stream_id, ends=False)
            talk.say(frames.window_update(stream_id, 0))
    assert goaway_of(talk.heard())[0] == CALM
    assert len(talk.accepted) == 11


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(frame(PING, 0, 0, bytes(8)), id="PING"),
        pytest.param(frame(PING, ACK, 0, bytes(8)), id="PING acknowledged"),
        pytest.param(frame(SETTINGS, 0, 0), id="SETTINGS"),
        pytest.param(frame(SETTINGS, ACK, 0), id="SETTINGS acknowledged"),
        pytest.param(frame(PRIORITY, 0, 1, bytes(5)), id="PRIORITY"),
        pytest.param(frame(DATA, 0, 1), id="empty DATA"),
        pytest.param(frame(DATA, frames.PADDED, 1, b"\x01\0"), id="DATA of padding"),
        pytest.param(frame(0x77, 0, 0), id="unknown"),
        pytest.param(frames.goaway(0, 0), id="GOAWAY"),
    ],
)
def test_floods_of_frames_that_do_nothing_end_the_connection(said: bytes) -> None:
    talk = Conversation(Http2Limits(control_frames=Rate(20, 1.0)), ANY_PINGS)
    talk.ask(1, ends=False)
    talk.say(said * 19)  # the greeting took one
    assert not talk.server.is_broken
    talk.say(said)
    assert goaway_of(talk.heard()) == (CALM, "too many control frames")


class Watched(Stream):
    """Counts how often streams of its kind are looked at for their windows."""

    __slots__ = ()
    looks = 0

    def __getattribute__(self, name: str) -> object:
        if name == "window":
            Watched.looks += 1
        return super().__getattribute__(name)


def watch(talk: Conversation) -> None:
    Watched.looks = 0
    for stream in talk.server.streams.values():
        stream.__class__ = Watched


def test_a_frame_full_of_settings_is_no_more_work_for_many_streams() -> None:
    """Each value moves the window of every stream: 2,700 values for 1,000 streams took a quarter second."""
    talk = Conversation()
    for stream_id in range(1, 101, 2):
        talk.ask(stream_id)
    watch(talk)
    talk.say(frames.settings([(frames.INITIAL_WINDOW_SIZE, size) for size in range(1000)]))
    assert Watched.looks <= 4 * 50
    talk.server.send_data(talk.accepted[0], (bytes(2000),), 2000)
    assert [len(one.payload) for one in talk.heard() if one.kind == DATA] == [999]


def test_a_window_update_by_little_is_no_more_work_for_many_streams() -> None:
    """Each opens the window for one stream; to look at all of them for each byte is what a hostile client is after."""
    talk = Conversation(settings=[(frames.INITIAL_WINDOW_SIZE, 10)])
    talk.server.send_data(talk.ask(1), (bytes(65_535),), 65_535)
    talk.say(frames.window_update(1, 65_525))
    for stream_id in range(3, 103, 2):
        talk.server.send_data(talk.ask(stream_id), (bytes(20),), 20)
    talk.heard()
    watch(talk)
    talk.say(frames.window_update(0, 1) * 100)
    assert [(one.stream_id, len(one.payload)) for one in talk.heard()] == [
        (stream_id, 1) for _ in range(2) for stream_id in range(3, 103, 2)
    ]
    assert Watched.looks <= 4 * 100
    talk.say(frames.window_update(0, 1_000_000))  # what is left of the streams' own windows
    Watched.looks = 0
    talk.say(frames.window_update(0, 1) * 100)
    assert Watched.looks == 0


def test_a_flood_of_continuations_ends_the_connection() -> None:
    talk = Conversation(Http2Limits(continuation_frames=4))
    talk.say(frame(HEADERS, END_STREAM, 1, talk.block()))
    talk.say(frame(CONTINUATION, 0, 1) * 4)
    assert not talk.server.is_broken
    talk.say(frame(CONTINUATION, 0, 1))
    assert goaway_of(talk.heard()) == (CALM, "too many CONTINUATION frames")


def test_a_header_block_that_grows_too_large_ends_the_connection() -> None:
    talk = Conversation(Http2Limits(header_block_bytes=100))
    talk.say(frame(HEADERS, END_STREAM, 1, bytes(60)))
    talk.say(frame(CONTINUATION, END_HEADERS, 1, bytes(60)))
    assert goaway_of(talk.heard()) == (CALM, "header block too large")


def test_a_huge_headers_frame_is_refused_by_its_size_alone() -> None:
    talk = Conversation()
    talk.say(frame(HEADERS, END_HEADERS, 1, bytes(70_000))[:9])
    assert goaway_of(talk.heard())[0] == CALM


def test_a_small_block_that_means_a_large_list_ends_the_connection() -> None:
    talk = Conversation(Http2Limits(header_list_bytes=8192))
    first = talk.encoder.encode([("bomb", "x" * 3000)])
    talk.say(frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block() + first))
    talk.say(frame(HEADERS, END_HEADERS | END_STREAM, 3, talk.block() + b"\xbe" * 10))
    code, text = goaway_of(talk.heard())
    assert code == CALM
    assert "header list too large" in text


def test_asking_for_too_many_streams_over_and_over_ends_the_connection() -> None:
    talk = Conversation(Http2Limits(concurrent_streams=1, refusals=Rate(3, 1.0)))
    talk.ask(1)
    for stream_id in (3, 5, 7):
        talk.say(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, talk.block()))
    assert not talk.server.is_broken
    talk.say(frame(HEADERS, END_HEADERS | END_STREAM, 9, talk.block()))
    assert goaway_of(talk.heard())[0] == CALM


def test_answers_that_are_not_read_are_not_piled_up() -> None:
    talk = Conversation(Http2Limits(unsent_control_bytes=170), ANY_PINGS)
    talk.server.hold()
    talk.say(frame(PING, 0, 0, bytes(8)) * 10)
    assert not talk.server.is_broken
    talk.say(frame(PING, 0, 0, bytes(8)))
    assert goaway_of(talk.heard()) == (CALM, "answers to control frames are not read")


def test_pings_without_anything_else_are_strikes() -> None:
    talk = Conversation(pings=PingPolicy(min_interval_s=10, max_strikes=2))
    talk.ask(1)
    for now_s in (0.0, 1.0, 2.0):
        talk.server.now_s = now_s
        talk.say(frame(PING, 0, 0, bytes(8)))
    assert not talk.server.is_broken
    talk.server.now_s = 3.0
    talk.say(frame(PING, 0, 0, bytes(8)))
    assert goaway_of(talk.heard()) == (CALM, "too_many_pings")


def test_an_answer_forgives_strikes_and_patience_makes_none() -> None:
    talk = Conversation(pings=PingPolicy(min_interval_s=10, max_strikes=2))
    stream = talk.ask(1)
    talk.server.send_headers(stream, encode_fields(((b":status", b"200"),)))
    for now_s in range(100):
        talk.server.now_s = float(now_s)
        talk.server.send_data(stream, (b"x",), 1)
        talk.say(frame(PING, 0, 0, bytes(8)) * 3)
    for now_s in range(200, 300, 10):
        talk.server.now_s = float(now_s)
        talk.say(frame(PING, 0, 0, bytes(8)))
    assert not talk.server.is_broken


def test_a_client_without_calls_must_be_more_patient() -> None:
    talk = Conversation(pings=PingPolicy(min_interval_s=10, min_idle_interval_s=100, max_strikes=1))
    for now_s in (0.0, 20.0):
        talk.server.now_s = now_s
        talk.say(frame(PING, 0, 0, bytes(8)))
    assert not talk.server.is_broken
    talk.server.now_s = 40.0
    talk.say(frame(PING, 0, 0, bytes(8)))
    assert talk.server.is_broken
