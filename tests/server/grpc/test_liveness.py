# SPDX-License-Identifier: Apache-2.0
"""The clock of a connection, without one: every time is told."""

from dataclasses import replace

from tests.protocol.http2.conversation import Conversation, goaway_of

from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.faults import ErrorCode
from naiad.protocol.http2.frames import ACK, DATA, PING, SETTINGS_ACK, frame
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.streams import Stream
from naiad.server.grpc.liveness import Liveness
from naiad.server.grpc.settings import Keepalive

KEEPALIVE = Keepalive(time_s=10, timeout_s=3)


def greeted() -> Conversation:
    """Return a connection whose client has begun well."""
    talk = Conversation()
    talk.say(SETTINGS_ACK)
    return talk


def pings(talk: Conversation) -> int:
    return sum(heard.kind == PING for heard in talk.heard())


def test_a_client_that_is_silent_with_a_call_under_way_is_asked_once_and_given_up_later() -> None:
    talk = greeted()
    watch = Liveness(talk.server, KEEPALIVE, 0.0)
    talk.ask(1)
    assert watch.check_alive(1.0)
    assert watch.check_alive(11.0)
    assert pings(talk) == 0
    assert watch.check_alive(11.5)
    assert watch.check_alive(14.5)
    assert pings(talk) == 1
    assert not watch.check_alive(14.6)


def test_any_frame_is_a_sign_of_life() -> None:
    talk = greeted()
    watch = Liveness(talk.server, KEEPALIVE, 0.0)
    talk.ask(1)
    watch.check_alive(1.0)
    watch.check_alive(11.5)
    talk.say(frame(PING, ACK, 0, bytes(8)))
    assert watch.check_alive(100.0)
    assert watch.check_alive(110.0)
    assert pings(talk) == 1


def test_a_client_without_calls_is_left_alone_unless_it_is_to_be_asked() -> None:
    talk = greeted()
    watches = [Liveness(talk.server, replace(KEEPALIVE, without_calls=asked), 0.0) for asked in (False, True)]
    for watch in watches:
        watch.check_alive(1.0)
    asked = []
    for watch in watches:
        assert watch.check_alive(12.0)
        asked.append(pings(talk))
    assert asked == [0, 1]


def test_pings_in_a_row_are_limited_and_a_response_allows_more() -> None:
    talk = greeted()
    watch = Liveness(talk.server, Keepalive(time_s=10, timeout_s=3, max_pings_without_data=2), 0.0)
    stream = talk.ask(1)
    asked = []
    for round_ in range(1, 6):
        if round_ == 5:
            talk.server.send_headers(stream, encode_fields(((b":status", b"200"),)))
        talk.say(frame(PING, ACK, 0, bytes(8)))
        watch.check_alive(round_ * 20.0)
        assert watch.check_alive(round_ * 20.0 + 11)
        asked.append(pings(talk))
    assert asked == [1, 1, 0, 0, 1]


def test_a_frame_that_has_begun_has_to_end() -> None:
    talk = greeted()
    watch = Liveness(talk.server, KEEPALIVE, 0.0)
    watch.check_begun(100.0, 5.0)
    talk.say(frame(PING, 0, 0, bytes(8))[:5])
    watch.check_begun(105.0, 5.0)
    assert not talk.server.is_broken
    watch.check_begun(105.1, 5.0)
    assert goaway_of(talk.heard()) == (ErrorCode.ENHANCE_YOUR_CALM, "a frame was not complete after 5 s")


def test_a_client_that_says_nothing_at_all_has_to_begin() -> None:
    accepted: list[Stream] = []
    server = Connection(accepted.append)
    watch = Liveness(server, KEEPALIVE, 0.0)
    watch.check_begun(5.0, 5.0)
    assert not server.is_broken
    watch.check_begun(5.1, 5.0)
    assert server.is_broken


def test_data_on_its_way_is_its_calls_business() -> None:
    talk = greeted()
    watch = Liveness(talk.server, KEEPALIVE, 0.0)
    talk.ask(1, ends=False)
    talk.say(frame(DATA, 0, 1, bytes(100))[:50])
    for now_s in range(0, 1000, 100):
        watch.check_begun(float(now_s), 5.0)
        assert watch.check_alive(float(now_s))
    assert not talk.server.is_broken
    assert pings(talk) == 0
