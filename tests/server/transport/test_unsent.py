# SPDX-License-Identifier: Apache-2.0
from naiad.server.transport.unsent import UnsentWatch


class Buffer:
    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def get_write_buffer_size(self) -> int:
        return self.size_bytes


def test_a_client_that_takes_nothing_is_stuck_when_its_time_is_over() -> None:
    buffer, watch = Buffer(100), UnsentWatch()
    watch.begin(buffer, 10.0)
    assert [watch.is_stuck(buffer, now_s, 5.0) for now_s in (10.0, 15.0, 15.1)] == [False, False, True]


def test_every_byte_that_is_taken_gives_it_the_whole_time_again() -> None:
    buffer, watch = Buffer(100), UnsentWatch()
    watch.begin(buffer, 0.0)
    for now_s in (4.0, 8.0, 12.0):
        buffer.size_bytes -= 1
        assert not watch.is_stuck(buffer, now_s, 5.0)
    assert not watch.is_stuck(buffer, 17.0, 5.0)
    assert watch.is_stuck(buffer, 17.1, 5.0)


def test_what_is_written_meanwhile_is_nothing_taken() -> None:
    buffer, watch = Buffer(100), UnsentWatch()
    watch.begin(buffer, 0.0)
    buffer.size_bytes = 200
    assert watch.is_stuck(buffer, 5.1, 5.0)


def test_a_client_that_has_taken_all_has_the_time_since_it_was_last_seen_to_do_so() -> None:
    buffer, watch = Buffer(100), UnsentWatch()
    watch.begin(buffer, 0.0)
    buffer.size_bytes = 1
    assert not watch.is_stuck(buffer, 3.0, 5.0)
    buffer.size_bytes = 0
    assert [watch.is_stuck(buffer, now_s, 5.0) for now_s in (8.0, 8.1)] == [False, True]
