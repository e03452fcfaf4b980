# SPDX-License-Identifier: Apache-2.0
"""A request's head: its parts, and what is refused."""

from dataclasses import replace

import pytest
from tests.protocol.http1.reading import LIMITS, read_head

from naiad.protocol.http1.head import HttpError, parse_head


def test_gives_every_part_of_a_request() -> None:
    request = read_head(b"POST /v2/models/m/infer?x=1 HTTP/1.1\nHost: h\nContent-Length: 12\nX-A:  b c \t\nx-a: d")

    assert request.method == "POST"
    assert request.target == "/v2/models/m/infer?x=1"
    assert (request.path, request.query) == ("/v2/models/m/infer", "x=1")
    assert request.version == "1.1"
    assert dict(request.headers) == {b"host": b"h", b"content-length": b"12", b"x-a": b"b c, d"}
    assert request.keep_alive
    assert request.content_length == 12
    assert not request.chunked
    assert not request.expect_continue


def test_is_frozen() -> None:
    with pytest.raises(TypeError):
        read_head(b"GET / HTTP/1.1").headers[b"a"] = b"b"  # type: ignore[index]


def test_does_not_need_a_host() -> None:
    """Triton answers HTTP/1.1 requests without one."""
    assert read_head(b"GET /v2 HTTP/1.1").headers == {}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://host:8000/v2/health/live", "/v2/health/live", ""),
        (b"HTTP://host", "/", ""),
        (b"http://host?x", "/", "x"),
        (b"http://host/a://b?c/d", "/a://b", "c/d"),
        (b"/a%20b/%2f", "/a%20b/%2f", ""),
        (b"//host/path", "//host/path", ""),
        (b"/p??x", "/p", "?x"),
        (b"*", "*", ""),
    ],
)
def test_takes_the_path_out_of_the_target(target: bytes, path: str, query: str) -> None:
    request = read_head(b"GET " + target + b" HTTP/1.1")

    assert (request.path, request.query) == (path, query)
    assert request.target == target.decode()


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        (b"GET / HTTP/1.1", True),
        (b"GET / HTTP/1.1\nConnection: close", False),
        (b"GET / HTTP/1.1\nConnection: Close, TE", False),
        (b"GET / HTTP/1.1\nConnection: keep-alive\nConnection: close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\nConnection: Keep-Alive", True),
        (b"GET / HTTP/1.0\nConnection: keep-alive, close", False),
    ],
)
def test_tells_whether_the_connection_stays(text: bytes, keeps: bool) -> None:
    assert read_head(text).keep_alive is keeps


def test_leaves_an_upgrade_aside() -> None:
    """As RFC 9110 allows; `curl --http2` makes such an offer."""
    request = read_head(b"GET /v2 HTTP/1.1\nConnection: Upgrade\nUpgrade: h2c\nAfter: x")

    assert request.headers[b"after"] == b"x"
    assert request.keep_alive


def test_expects_continue_only_in_http_1_1() -> None:
    assert read_head(b"POST / HTTP/1.1\nExpect: 100-Continue\nContent-Length: 1").expect_continue
    assert not read_head(b"POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 1").expect_continue


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /\r\nA: b", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / RTSP/1.0", 400),
        (b"get / HTTP/1.1", 501),
        (b"FOO / HTTP/1.1", 501),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"CONNECT host:1 HTTP/1.1", 400),
        (b"GET relative HTTP/1.1", 400),
        (b"GET ftp://host/ HTTP/1.1", 400),
        (b"GET /\0 HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\n folded: x", 400),
        (b"GET / HTTP/1.1\r\nA: x\r\n y", 400),
        (b"GET / HTTP/1.1\r\nA : x", 400),
        (b"GET / HTTP/1.1\r\nA\0: x", 400),
        (b"GET / HTTP/1.1\r\nA: x\0", 400),
        (b"GET / HTTP/1.1\r\nA: x\ry", 400),
        (b"GET / HTTP/1.1\r\nA", 400),
        (b"GET / HTTP/1.1\r\n: x", 400),
        (b"GET / HTTP/1.1\nA: x", 400),
        (b"GET / HTTP/1.1\r\nA: x\nB: y", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 0x5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5 5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5, 5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5;", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: ", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2147483648", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
        (b"POST / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 1", 417),
    ],
)
def test_refuses_what_is_malformed_or_ambiguous(text: bytes, status: int) -> None:
    with pytest.raises(HttpError) as error:
        parse_head(text + b"\r\n\r\n", LIMITS)

    assert error.value.status == status
    assert str(error.value).isprintable()


def test_limits_target_and_fields() -> None:
    limits = replace(LIMITS, target_bytes=10, header_count=2)

    assert read_head(b"GET /123456789 HTTP/1.1\nA: a\nB: b", limits).path == "/123456789"
    with pytest.raises(HttpError, match="longer than 10 bytes") as too_long:
        read_head(b"GET /1234567890 HTTP/1.1", limits)
    assert too_long.value.status == 414
    with pytest.raises(HttpError, match="more than 2 header fields") as too_many:
        read_head(b"GET / HTTP/1.1\nA: a\nB: b\nC: c", limits)
    assert too_many.value.status == 431


def test_fields_stay_as_they_came() -> None:
    request = parse_head(b"GET / HTTP/1.1\r\nHost: x\r\nMy-A:  1 2 \r\nmy-a: 3\r\n\r\n", LIMITS)
    assert request.fields == ((b"Host", b"x"), (b"My-A", b"1 2"), (b"my-a", b"3"))
    assert dict(request.headers) == {b"host": b"x", b"my-a": b"1 2, 3"}
