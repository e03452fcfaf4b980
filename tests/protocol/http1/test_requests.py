# SPDX-License-Identifier: Apache-2.0
"""Requests one after another, however the stream of them is cut."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.http1.reading import LIMITS, read

from naiad.protocol.http1.head import HttpError, parse_head
from naiad.protocol.http1.requests import RequestReader, head_parser


def test_reads_pipelined_requests_of_every_framing() -> None:
    stream = (
        b"GET /a HTTP/1.1\r\n\r\n"
        b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz"
        b"\r\n\r\nPOST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;e=f\r\nc\r\n0\r\nT: u\r\n\r\n"
        b"POST /d HTTP/1.1\r\nContent-Length: 20\r\n\r\n01234567890123456789"
        b"GET /e HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    )

    assert read([stream]) == [
        ("/a", b""),
        ("/b", b"xyz"),
        ("/c", b"abc"),
        ("/d", b"01234567890123456789"),
        ("/e", b""),
    ]


@given(st.data())
def test_cutting_the_stream_changes_nothing(data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
    stream = bytearray()
    for body in bodies:
        if data.draw(st.booleans()):
            stream += b"POST /known HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            continue
        stream += b"POST /chunked HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=3)))
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            if end > start:
                stream += b"%X\r\n%b\r\n" % (end - start, body[start:end])
        stream += b"000\r\n" + data.draw(st.sampled_from([b"", b"A: b\r\n"])) + b"\r\n"
    ends = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [bytes(stream[start:end]) for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]
    single = [bytes([byte]) for byte in stream]

    whole = read([bytes(stream)])

    assert [request[1] for request in whole if isinstance(request, tuple)] == bodies
    assert read(pieces) == whole
    assert read(pieces, in_place=True) == whole
    assert read(single) == whole


@given(st.binary(max_size=200), st.integers(1, 7))
def test_garbage_gives_an_error_or_waits_and_cutting_it_changes_nothing(garbage: bytes, step: int) -> None:
    pieces = [garbage[at : at + step] for at in range(0, len(garbage), step)]

    assert read(pieces) == read([garbage])


@given(
    st.lists(
        st.sampled_from(
            [b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"\r\n", b"\n", b"\r", b"A: b", b"Content-Length: 5",
             b"Transfer-Encoding: chunked", b"5", b"0", b"hello", b";", b" ", b":"]
        ),
        max_size=24,
    )
)  # fmt: skip
def test_nearly_http_is_read_the_same_however_it_is_cut(tokens: list[bytes]) -> None:
    stream = b"".join(tokens)

    assert read([bytes([byte]) for byte in stream]) == read([stream])


def test_tells_a_tls_client_at_once() -> None:
    reader = RequestReader(LIMITS)
    reader.buffer.lend(bytearray(b"\x16\x03\x01\x02\x00"), 5)

    with pytest.raises(HttpError, match="http:// instead of https://"):
        reader.next_head()


@pytest.mark.parametrize("text", [b"\n", b"\0", b" GET", b"\rG", b"{}", b"get", b"\r\n\nGET / HTTP/1.1\r\n\r\n"])
def test_refuses_at_once_what_is_no_request(text: bytes) -> None:
    assert read([text]) == [400]


def test_refuses_a_head_that_grows_too_large() -> None:
    limits = replace(LIMITS, head_bytes=200, target_bytes=50)
    long_field = b"GET / HTTP/1.1\r\nA: " + b"x" * 300

    assert read([long_field[at : at + 10] for at in range(0, 310, 10)], limits) == [431]
    assert read([long_field + b"\r\n\r\n"], limits) == [431]
    assert read([b"GET /" + b"x" * 100], limits) == [414]
    assert read([b"GET /" + b"x" * 60], limits) == []


def test_memo_gives_what_parsing_gives() -> None:
    parse = head_parser(LIMITS)
    raw = b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n"

    assert parse(raw) == parse_head(raw, LIMITS)
    assert parse(raw) is parse(bytes(bytearray(raw)))
    assert parse(raw.replace(b"h\r", b"g\r")).headers[b"host"] == b"g"
    for _ in range(2):
        with pytest.raises(HttpError):
            parse(b"GET /\r\n\r\n")
