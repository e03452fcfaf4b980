# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.protocol.grpc.call import GrpcError, GrpcStatus
from naiad.protocol.grpc.messages import MAX_MESSAGE_BYTES, Message, MessageReader, message_prefix


class Memory:
    """A message's buffer that remembers what became of it."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.data = bytearray()
        self.fate = ""
        self._room = bytearray()

    def append(self, data: memoryview) -> None:
        self.data += data

    def room(self) -> memoryview:
        self._room = bytearray(self.size - len(self.data))
        return memoryview(self._room)

    def advance(self, count: int) -> None:
        self.data += self._room[:count]

    def finish(self) -> memoryview:
        self.fate = "finished"
        return memoryview(bytes(self.data))

    def discard(self) -> None:
        self.fate = "discarded"


class Reading:
    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.made: list[Memory] = []
        self.beginnings: list[bytes] = []
        self.reader = MessageReader(self._allocate, self._take)

    def _allocate(self, size: int, beginning: memoryview) -> Memory:
        self.beginnings.append(bytes(beginning))
        self.made.append(Memory(size))
        return self.made[-1]

    def _take(self, message: Message) -> None:
        self.messages.append((bytes(message.data), message.compressed))


def framed(*messages: tuple[bytes, bool]) -> bytes:
    return b"".join(message_prefix(len(data), compressed) + data for data, compressed in messages)


@given(
    st.lists(st.tuples(st.binary(max_size=30), st.booleans()), max_size=5),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.booleans(),
)
def test_messages_are_joined_however_they_are_cut(
    messages: list[tuple[bytes, bool]], cuts: list[int], direct: bool
) -> None:
    reading, body = Reading(), framed(*messages)
    position = turn = 0
    while position < len(body):
        size = cuts[turn % len(cuts)]
        turn += 1
        room = reading.reader.room(size) if direct else None
        if room is not None:
            count = min(len(room), len(body) - position)
            room[:count] = body[position : position + count]
            reading.reader.advance(count)
            position += count
            continue
        reading.reader.append(memoryview(body)[position : position + size])
        position += size
    assert reading.messages == messages
    assert reading.reader.received_bytes is None
    assert all(memory.fate == "finished" for memory in reading.made)


def test_a_small_message_in_one_piece_needs_no_buffer() -> None:
    reading = Reading()
    reading.reader.append(memoryview(framed((b"one", False), (b"", True))))
    assert (reading.messages, reading.made) == ([(b"one", False), (b"", True)], [])


def test_a_large_message_gets_a_buffer_that_is_told_its_beginning() -> None:
    reading = Reading()
    reading.reader.append(memoryview(framed((b"x" * 100, False))[:15]))
    assert (reading.beginnings, reading.reader.received_bytes) == ([b"x" * 10], 10)
    room = reading.reader.room(1000)
    assert room is not None
    assert len(room) == 90


def test_received_bytes_tell_of_an_unfinished_prefix_too() -> None:
    reading = Reading()
    assert reading.reader.received_bytes is None
    reading.reader.append(memoryview(b"\0\0"))
    assert reading.reader.received_bytes == 2


def test_discarding_gives_the_buffer_back() -> None:
    reading = Reading()
    reading.reader.append(memoryview(framed((b"x" * 100, False))[:15]))
    reading.reader.discard()
    assert reading.made[0].fate == "discarded"
    assert reading.reader.received_bytes is None
    assert reading.reader.room(5) is None


def test_a_message_beyond_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(GrpcError, match=r"Received message larger than max \(2147483648 vs. 2147483647\)") as caught:
        Reading().reader.append(memoryview(b"\0\x80\0\0\0"))
    assert caught.value.status is GrpcStatus.RESOURCE_EXHAUSTED
    with pytest.raises(GrpcError, match="Sent message larger than max"):
        message_prefix(MAX_MESSAGE_BYTES + 1)


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(GrpcError, match="begins with 2, expected 0 or 1"):
        Reading().reader.append(memoryview(b"\2\0\0\0\0"))
