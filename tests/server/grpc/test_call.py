# SPDX-License-Identifier: Apache-2.0
"""One call without sockets: what its client says, what its handler answers, and what becomes of both in odd orders."""

import gzip
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TypeVar

import pytest
from tests.protocol.http2.conversation import Conversation, Frame

from naiad.errors import UnavailableError
from naiad.protocol.grpc.call import CallHead
from naiad.protocol.grpc.response import EncodedMessage
from naiad.protocol.http2 import frames
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.faults import ErrorCode
from naiad.server.grpc.call import Call
from naiad.server.grpc.method import Method
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.request_context import RequestContext
from naiad.server.transport.slow_work import SlowWork

T = TypeVar("T")

BOTH = frozenset(("gzip", "deflate"))


class HeldWork(SlowWork):
    """Slow work that is done when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.held: deque[Callable[[], None]] = deque()

    def run(self, context: RequestContext, work: Callable[[], T], then: Callable[[T], None]) -> None:
        self.held.append(lambda: context.run(lambda: then(work())))

    def do_next(self) -> None:
        self.held.popleft()()


class FakeSession:
    """The connection of a call: its HTTP/2 is real, and what it has to send waits to be heard."""

    def __init__(self, http2: Connection, response_level: str) -> None:
        self.http2 = http2
        self.budget = BodyBudget()
        self.held_work = HeldWork()
        self.slow_work: SlowWork = self.held_work
        self.response_level = response_level
        self.later: deque[Callable[[], None]] = deque()

    def flush_soon(self) -> None:
        pass

    def soon(self, step: Callable[[], None]) -> None:
        self.later.append(step)

    def do_all(self) -> None:
        """Take the steps that were to be taken soon."""
        while self.later:
            self.later.popleft()()


class Notes:
    """A handler of a stream that notes what it gets."""

    def __init__(self) -> None:
        self.events: list[bytes | str] = []

    def on_message(self, message: memoryview) -> None:
        self.events.append(bytes(message))

    def on_half_close(self) -> None:
        self.events.append("half-close")

    def on_drained(self) -> None:
        self.events.append("drained")

    def on_cancel(self) -> None:
        self.events.append("cancel")


class Talk:
    """A client's call and the server's end of it."""

    def __init__(self, method: Method, level: str = "none") -> None:
        self.conversation = Conversation()
        self.session = FakeSession(self.conversation.server, level)
        stream = self.conversation.ask(1, ends=False)
        head = CallHead("/a.B/C", None, "gzip", BOTH, ())
        self.call = Call(self.session, stream, head, method)
        stream.sink = self.call

    def say(self, *messages: bytes, flag: int = 0, ends: bool = False) -> None:
        """Send whole messages, all with the same flag."""
        said = b"".join(bytes((flag,)) + len(message).to_bytes(4) + message for message in messages)
        self.say_raw(said, ends=ends)

    def say_raw(self, data: bytes, *, ends: bool = False) -> None:
        self.conversation.say(frames.frame(frames.DATA, frames.END_STREAM if ends else 0, 1, data))

    def heard(self) -> list[Frame]:
        """Return the frames of the answer since the last time."""
        return [one for one in self.conversation.heard() if one.stream_id == 1 and one.kind != frames.WINDOW_UPDATE]

    def status(self) -> tuple[str, str]:
        """Return the status and the text that the call ended with."""
        trailers = [frame for frame in self.heard() if frame.kind == frames.HEADERS][-1]
        fields = self.conversation.fields(trailers)
        return fields["grpc-status"], fields.get("grpc-message", "")


def encoded(message: bytes) -> EncodedMessage:
    return EncodedMessage([message], len(message))


def unary(got: list[bytes]) -> Method:
    """Return a method that keeps its messages and leaves the answer to the test."""
    return Method(lambda _, message: got.append(bytes(message)))


def test_a_unary_call_gets_its_first_message_at_the_end_of_the_request() -> None:
    got: list[bytes] = []
    talk = Talk(unary(got))
    talk.say(b"first", b"second")
    assert got == []
    assert talk.call.request_bytes == 5
    talk.say_raw(b"", ends=True)
    assert got == [b"first"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", ("13", "Unable to parse request")),
        (b"\0\0\0", ("13", "the call ends in the middle of a message")),
        (b"\0\0\0\0\5abc", ("13", "the call ends in the middle of a message")),
    ],
)
def test_a_request_without_a_whole_message_is_refused(said: bytes, status: tuple[str, str]) -> None:
    got: list[bytes] = []
    talk = Talk(unary(got))
    talk.say_raw(said, ends=True)
    assert talk.status() == status
    assert got == []


def test_what_comes_after_the_end_is_ignored() -> None:
    talk = Talk(unary([]))
    talk.say(b"x", ends=True)
    talk.call.respond(encoded(b"one"))
    heard = talk.heard()
    assert [frame.kind for frame in heard] == [frames.HEADERS, frames.DATA, frames.HEADERS]
    assert heard[1].payload == b"\0\0\0\0\3one"
    assert not talk.call.waiting
    talk.call.respond(encoded(b"two"))
    talk.call.send(encoded(b"two"))
    talk.call.finish()
    talk.call.fail(UnavailableError("too late"))
    assert talk.heard() == []


def test_messages_of_a_stream_keep_their_order_though_some_are_unpacked_elsewhere() -> None:
    notes = Notes()
    talk = Talk(Method(stream=lambda _: notes))
    work = talk.session.held_work
    talk.say(b"plain")
    talk.say(gzip.compress(b"packed"), flag=1)
    talk.say(b"behind")
    talk.say(gzip.compress(b"last"), flag=1, ends=True)
    assert notes.events == [b"plain"]
    for _ in range(2):
        assert len(work.held) == 1
        work.do_next()
    assert notes.events == [b"plain", b"packed", b"behind", b"last", "half-close"]


def test_what_comes_while_a_message_is_unpacked_is_charged_and_the_client_has_to_wait() -> None:
    """A client sends small messages faster than they are unpacked, and none of those is charged by itself."""
    notes = Notes()
    talk = Talk(Method(stream=lambda _: notes))
    budget, work = talk.session.budget, talk.session.held_work
    talk.say(gzip.compress(b"packed"), flag=1)
    for _ in range(200):
        talk.say(bytes(60_000))
    assert budget.in_flight_bytes == 200 * 60_005
    assert [frame.stream_id for frame in talk.conversation.heard()] == []
    work.do_next()
    talk.session.do_all()
    assert budget.in_flight_bytes == 0
    assert [len(event) for event in notes.events] == [6] + [60_000] * 200
    (update,) = talk.conversation.heard()
    assert (update.kind, update.stream_id) == (frames.WINDOW_UPDATE, 1)


def test_a_handler_that_holds_back_gets_no_message_until_it_goes_on() -> None:
    notes = Notes()
    talk = Talk(Method(stream=lambda _: notes))
    talk.say(b"one")
    talk.call.hold_back(True)
    talk.say(b"two", b"three")
    talk.say_raw(b"\0\0\0\0\4fo")
    talk.say_raw(b"ur", ends=True)
    assert notes.events == [b"one"]
    assert talk.session.budget.in_flight_bytes == 8 + 10 + 7 + 2
    talk.call.hold_back(False)
    assert notes.events == [b"one", b"two", b"three", b"four", "half-close"]
    assert talk.session.budget.in_flight_bytes == 0


class OneAtATime(Notes):
    """A handler that holds back with every message."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def on_message(self, message: memoryview) -> None:
        super().on_message(message)
        self.call.hold_back(True)


def test_the_client_goes_on_only_when_all_that_has_come_is_read() -> None:
    made: list[OneAtATime] = []

    def handler(call: Call) -> OneAtATime:
        made.append(OneAtATime(call))
        return made[-1]

    talk = Talk(Method(stream=handler))
    for number in range(200):
        talk.say(bytes((number,)) * 60_000)
    assert len(made[0].events) == 1
    while len(made[0].events) < 200:
        assert talk.conversation.heard() == []
        talk.call.hold_back(False)
    assert [event[0] for event in made[0].events if isinstance(event, bytes)] == list(range(200))
    talk.call.hold_back(False)
    assert [frame.kind for frame in talk.conversation.heard()] == [frames.WINDOW_UPDATE]


def test_a_message_whose_call_does_not_end_is_charged_and_given_up_in_the_end() -> None:
    """Thousands of calls can wait so on one connection, and nothing but the message was said for them."""
    got: list[bytes] = []
    talk = Talk(unary(got))
    talk.say(bytes(50_000))
    talk.call.check_progress(0.0, 60.0, 1024)
    assert talk.session.budget.in_flight_bytes == 50_000
    talk.call.check_progress(60.0, 60.0, 1024)
    assert talk.call.waiting
    talk.call.check_progress(60.1, 60.0, 1024)
    assert talk.status() == ("4", "the call did not end within 60 s of its message, end it with the message")
    assert talk.session.budget.in_flight_bytes == 0


def test_a_message_whose_call_ends_late_is_as_it_was() -> None:
    got: list[bytes] = []
    talk = Talk(unary(got))
    talk.say(b"message")
    for now_s in (0.0, 50.0):
        talk.call.check_progress(now_s, 60.0, 1024)
    talk.say_raw(b"", ends=True)
    assert got == [b"message"]
    talk.call.check_progress(1000.0, 60.0, 1024)
    assert talk.call.waiting


class AlwaysReady(Notes):
    """A handler that lets the client go on with every message."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def on_message(self, message: memoryview) -> None:
        super().on_message(message)
        self.call.hold_back(False)


def test_one_message_is_unpacked_at_a_time_though_its_handler_is_ready_for_more() -> None:
    made: list[AlwaysReady] = []

    def handler(call: Call) -> AlwaysReady:
        made.append(AlwaysReady(call))
        return made[-1]

    talk = Talk(Method(stream=handler))
    for number in range(4):
        talk.say(gzip.compress(b"%d" % number), flag=1)
    talk.say_raw(b"", ends=True)
    work = talk.session.held_work
    while work.held:
        assert len(work.held) == 1
        work.do_next()
    assert made[0].events == [b"0", b"1", b"2", b"3", "half-close"]


def test_what_was_kept_keeps_its_order_though_its_handler_is_ready_for_more() -> None:
    made: list[AlwaysReady] = []

    def handler(call: Call) -> AlwaysReady:
        made.append(AlwaysReady(call))
        return made[-1]

    talk = Talk(Method(stream=handler))
    talk.call.hold_back(True)
    for number in range(200):
        talk.say(bytes((number,)) * 50_000, ends=number == 199)
    talk.call.hold_back(False)
    assert len(made[0].events) < 10  # others want the loop, too
    talk.session.do_all()
    assert [event[0] for event in made[0].events if isinstance(event, bytes)] == list(range(200))
    assert made[0].events[200:] == ["half-close"]


def test_what_waits_for_its_handler_goes_with_the_call() -> None:
    talk = Talk(Method(stream=lambda _: Notes()))
    talk.call.hold_back(True)
    talk.say(b"one")
    talk.conversation.say(frames.rst_stream(1, ErrorCode.CANCEL))
    assert talk.session.budget.in_flight_bytes == 0


def test_more_than_the_budget_does_not_wait_for_a_handler() -> None:
    talk = Talk(Method(stream=lambda _: Notes()))
    talk.session.budget = BodyBudget(100)
    talk.call.hold_back(True)
    talk.say(bytes(96))
    assert talk.status()[0] == "14"


def test_a_message_that_cannot_advance_because_its_handler_holds_back_is_not_given_up() -> None:
    talk = Talk(Method(stream=lambda _: Notes()))
    talk.say_raw(b"\0\0\0\0\4fo")
    talk.call.hold_back(True)
    for now_s in (0.0, 100.0):
        talk.call.check_progress(now_s, 60.0, 1024)
    assert talk.call.waiting
    talk.call.hold_back(False)
    for now_s in (200.0, 300.0):
        talk.call.check_progress(now_s, 60.0, 1024)
    assert talk.status()[0] == "4"


def test_a_message_that_cannot_be_unpacked_ends_the_stream() -> None:
    notes = Notes()
    talk = Talk(Method(stream=lambda _: notes))
    talk.say(b"no gzip", flag=1)
    talk.say(b"behind")
    talk.session.held_work.do_next()
    assert talk.status()[0] == "13"
    assert notes.events == ["cancel"]
    assert talk.session.held_work.held == deque()


def test_what_was_unpacked_for_a_call_that_is_over_is_dropped() -> None:
    got: list[bytes] = []
    talk, notes = Talk(unary(got)), Notes()
    # It stays large, so that it is not unpacked at once.
    talk.say(gzip.compress(Random(1).randbytes(5000)), flag=1, ends=True)
    talk.call.fail(UnavailableError("deadline"))
    talk.session.held_work.do_next()
    assert got == []
    stream = Talk(Method(stream=lambda _: notes))
    stream.say(gzip.compress(b"packed"), flag=1)
    stream.call.fail(UnavailableError("deadline"))
    stream.session.held_work.do_next()
    assert notes.events == ["cancel"]
    assert stream.session.budget.in_flight_bytes == talk.session.budget.in_flight_bytes == 0


def test_a_large_answer_is_compressed_elsewhere_and_dropped_if_nobody_waits_any_more() -> None:
    large = encoded(bytes(100_000))
    for is_over in (False, True):
        talk = Talk(unary([]), "low")
        talk.say(b"x", ends=True)
        talk.call.respond(large, compress_it=True)
        assert talk.heard() == []
        if is_over:
            talk.call.fail(UnavailableError("deadline"))
            assert talk.status()[0] == "14"
        talk.session.held_work.do_next()
        heard = talk.heard()
        assert bool(heard) is not is_over
        if heard:
            assert talk.conversation.fields(heard[0])["grpc-encoding"] == "gzip"
            assert gzip.decompress(heard[1].payload[5:]) == bytes(100_000)


def test_a_large_message_of_a_stream_goes_as_it_is() -> None:
    talk = Talk(Method(stream=lambda _: Notes()), "low")
    talk.call.send(encoded(bytes(100)), compress_it=True)
    talk.call.send(encoded(bytes(20_000)), compress_it=True)
    head, small, *large = talk.heard()
    assert talk.conversation.fields(head)["grpc-encoding"] == "gzip"
    assert small.payload[0] == 1
    assert b"".join(frame.payload for frame in large) == b"\0" + (20_000).to_bytes(4) + bytes(20_000)
