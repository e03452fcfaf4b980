# SPDX-License-Identifier: Apache-2.0
"""Memory of request bodies."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import UnavailableError
from naiad.protocol.http1.head import HttpError
from naiad.server.transport.bodies import BodyBudget, BodyBuffer, filled


@given(st.lists(st.binary(min_size=1, max_size=50_000), max_size=8), st.booleans(), st.integers(0, 300))
def test_what_was_appended_is_there_and_aligned(pieces: list[bytes], is_length_known: bool, align_at: int) -> None:
    whole = b"".join(pieces)
    buffer = BodyBuffer(BodyBudget(), len(whole) if is_length_known else None, align_at)
    for piece in pieces:
        buffer.append(memoryview(piece))

    body = buffer.finish()

    assert body == whole
    assert body.readonly
    if align_at < len(whole):
        assert np.frombuffer(body, np.uint8, offset=align_at).ctypes.data % 64 == 0


def test_room_grows_but_never_beyond_the_expected_end() -> None:
    mib = 1024 * 1024
    expected = 160 * mib
    buffer = BodyBuffer(BodyBudget(), expected)
    sizes = []
    while buffer.length < expected:
        room = buffer.room()
        room[:1] = b"x"
        sizes.append(len(room))
        buffer.advance(len(room))

    assert sizes == [64 * mib, 64 * mib, 32 * mib]
    assert buffer.finish()[64 * mib] == ord("x")


def test_a_body_of_which_little_has_come_reserves_little() -> None:
    """Address space is cheap, but the mappings of a process are counted: 45 connections full of calls used them up."""
    mib = 1024 * 1024
    buffer = BodyBuffer(BodyBudget(), 160 * mib, here_bytes=1000)
    sizes = []
    while buffer.length < 160 * mib:
        sizes.append(len(buffer.room()))
        buffer.advance(sizes[-1])
    assert sizes == [64 * 1024, 64 * mib - 64 * 1024, 64 * mib, 32 * mib]
    assert len(BodyBuffer(BodyBudget(), 160 * mib, here_bytes=16 * 1024).room()) == 64 * mib
    assert len(BodyBuffer(BodyBudget(), 100, here_bytes=1).room()) == 100


def test_budget_counts_until_the_last_view_is_gone() -> None:
    budget = BodyBudget(1000)
    buffer = BodyBuffer(budget, None)
    buffer.append(memoryview(b"x" * 600))
    body = buffer.finish()
    view = np.frombuffer(body, np.uint8)[10:20]
    del buffer, body
    assert budget.in_flight_bytes == 600
    with pytest.raises(UnavailableError, match="exceed 1000 bytes over all connections"):
        budget.charge(401)
    budget.charge(400)

    thread = threading.Thread(target=lambda held: held.clear(), args=([view],))
    del view
    thread.start()
    thread.join()
    del thread

    assert budget.in_flight_bytes == 400


def test_a_discarded_body_is_given_back_at_once() -> None:
    budget = BodyBudget(1000)
    buffer = BodyBuffer(budget, 900)
    buffer.append(memoryview(b"x" * 600))
    with pytest.raises(UnavailableError):
        BodyBuffer(budget, 600).append(memoryview(b"x" * 401))

    buffer.discard()

    assert budget.in_flight_bytes == 0


def test_admission_tells_never_from_not_now() -> None:
    budget = BodyBudget(1000)
    budget.admit(1000)
    budget.charge(1)
    with pytest.raises(UnavailableError):
        budget.admit(1000)
    with pytest.raises(HttpError) as never:
        budget.admit(1001)
    assert never.value.status == 413
    assert "--http-max-bytes-in-flight" in str(never.value)


def test_what_fills_a_body_is_charged_while_the_body_lives() -> None:
    budget = BodyBudget()
    body = filled(budget, lambda sink: sink.append(memoryview(b"abc")))
    assert bytes(body) == b"abc"
    assert budget.in_flight_bytes == 3
    del body
    assert budget.in_flight_bytes == 0


def test_nothing_stays_charged_of_a_body_that_could_not_be_filled() -> None:
    budget = BodyBudget(10)

    def fill(sink: BodyBuffer) -> None:
        sink.append(memoryview(bytes(8)))
        sink.append(memoryview(bytes(8)))

    with pytest.raises(UnavailableError):
        filled(budget, fill)
    assert budget.in_flight_bytes == 0
