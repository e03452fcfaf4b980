# SPDX-License-Identifier: Apache-2.0
"""Bodies in chunks, and the memory of what came."""

import pytest
from tests.protocol.http1.reading import LIMITS, Body, read

from naiad.protocol.http1.body import ReceiveBuffer
from naiad.protocol.http1.head import HttpError, Limits
from naiad.protocol.http1.requests import RequestReader


def read_chunks(body: bytes, limits: Limits = LIMITS) -> list[tuple[str, bytes] | int]:
    stream = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    whole = read([stream], limits)
    assert read([bytes([byte]) for byte in stream], limits) == whole
    return whole


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"0\r\n\r\n", b""),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"0000000000000001\r\nx\r\n00\r\n\r\n", b"x"),
        (b'1 ;name="value"\r\nx\r\n0;last\r\n\r\n', b"x"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"x"),
    ],
)
def test_joins_chunks(body: bytes, expected: bytes) -> None:
    assert read_chunks(body) == [("/", expected)]


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n\r\n",
        b"0x1\r\nx\r\n",
        b"+1\r\nx\r\n",
        b"-1\r\nx\r\n",
        b" 1\r\nx\r\n",
        b"1 \r\nx\r\n",
        b"1 2\r\nx\r\n",
        b"1_0\r\nx\r\n",
        b"\xb2\r\nx\r\n",
        b"00000000000000001\r\nx\r\n",
        b"1\nx\r\n",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nxy\r\n0\r\n\r\n",
        b"1\r\nx0\r\n\r\n",
        b"1;a\rb\r\nx\r\n",
        b"1;a\0\r\nx\r\n",
        b"g\r\n",
        b"0\r\n\n",
        b"0\r\nA b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nA: b\n\r\n",
    ],
)
def test_refuses_what_is_malformed(body: bytes) -> None:
    assert read_chunks(body) == [400]


def test_limits_the_number_of_chunks_with_tritons_text() -> None:
    reader = RequestReader(LIMITS)
    stream = bytearray(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 65536)
    reader.buffer.lend(stream, len(stream))
    assert reader.next_head() is not None
    body = Body()
    assert not reader.read_body(body)
    assert len(body) == 65536

    reader.buffer.lend(bytearray(b"1\r\n"), 3)
    with pytest.raises(HttpError) as error:
        reader.read_body(body)

    assert str(error.value) == (
        "Chunked request body exceeds maximum of 65536 non-empty chunks. Send fewer or larger HTTP chunks."
    )
    assert error.value.status == 400


def test_limits_sizes() -> None:
    limits = Limits(body_bytes=10, chunk_line_bytes=20, trailer_bytes=20)

    assert read_chunks(b"A\r\n0123456789\r\n0\r\n\r\n", limits) == [("/", b"0123456789")]
    assert read_chunks(b"A\r\n0123456789\r\n1\r\n", limits) == [413]
    assert read_chunks(b"ffffffffffffffff\r\n", limits) == [413]
    assert read_chunks(b"1;" + b"x" * 18, limits) == [400]
    assert read_chunks(b"0\r\nA: 890123\r\nB: 89012\r\n", limits) == [431]
    assert read_chunks(b"0\r\nA: " + b"x" * 17, limits) == [431]


def test_memory_of_used_bytes_is_dropped() -> None:
    buffer = ReceiveBuffer()
    lent = bytearray(b"x" * 100)
    for _ in range(1000):
        buffer.lend(lent, 100)
        buffer.keep()
        buffer.take(len(buffer) - 10)

    assert len(buffer) == 10
    assert len(buffer._kept) < 1000
