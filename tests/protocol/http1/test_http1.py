# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 without sockets: heads, framing, chunks, limits, and rendering of responses."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.protocol.http1.body import ReceiveBuffer
from naiad.protocol.http1.head import HttpError, Limits, RequestHead, parse_head
from naiad.protocol.http1.requests import RequestReader, head_parser
from naiad.protocol.http1.responses import render_head

LIMITS = Limits()


class Body(bytearray):
    """A sink."""

    def append(self, data: memoryview) -> None:  # type: ignore[override]
        self.extend(data)


def head(text: bytes, limits: Limits = LIMITS) -> RequestHead:
    return parse_head(text.replace(b"\n", b"\r\n") + b"\r\n\r\n", limits)


def read(pieces: list[bytes], limits: Limits = LIMITS, in_place: bool = False) -> list[tuple[str, bytes] | int]:
    """Feed a stream of bytes through one lent buffer; return (path, body) of each request, and the status of an error.

    With `in_place` a body of known length is filled as a connection does it, past the reader.
    """
    reader = RequestReader(limits)
    lent = bytearray(65536)
    requests: list[tuple[str, bytes] | int] = []
    current: tuple[RequestHead, Body] | None = None

    def advance() -> None:
        nonlocal current
        while True:
            if current is None:
                request = reader.next_head()
                if request is None:
                    return
                whole = reader.take_body(16)
                if whole is not None:
                    requests.append((request.path, whole))
                    continue
                current = request, Body()
            request, body = current
            if not reader.read_body(body):
                return
            requests.append((request.path, bytes(body)))
            current = None

    try:
        for piece in pieces:
            rest = piece
            if in_place and current is not None and reader.remaining:
                direct, rest = rest[: reader.remaining], rest[reader.remaining :]
                current[1].extend(direct)
                reader.passed_by(len(direct))
                if not reader.remaining:
                    advance()
            lent[: len(rest)] = rest
            reader.buffer.lend(lent, len(rest))
            advance()
            reader.buffer.keep()
            lent[: len(rest)] = b"\xff" * len(rest)  # what was lent is the lender's again
    except HttpError as error:
        requests.append(error.status)
    return requests


class TestHead:
    def test_gives_every_part_of_a_request(self) -> None:
        request = head(b"POST /v2/models/m/infer?x=1 HTTP/1.1\nHost: h\nContent-Length: 12\nX-A:  b c \t\nx-a: d")

        assert request.method == "POST"
        assert request.target == "/v2/models/m/infer?x=1"
        assert (request.path, request.query) == ("/v2/models/m/infer", "x=1")
        assert request.version == "1.1"
        assert dict(request.headers) == {b"host": b"h", b"content-length": b"12", b"x-a": b"b c, d"}
        assert request.keep_alive
        assert request.content_length == 12
        assert not request.chunked
        assert not request.expect_continue

    def test_is_frozen(self) -> None:
        with pytest.raises(TypeError):
            head(b"GET / HTTP/1.1").headers[b"a"] = b"b"  # type: ignore[index]

    def test_does_not_need_a_host(self) -> None:
        """Triton answers HTTP/1.1 requests without one."""
        assert head(b"GET /v2 HTTP/1.1").headers == {}

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
    def test_takes_the_path_out_of_the_target(self, target: bytes, path: str, query: str) -> None:
        request = head(b"GET " + target + b" HTTP/1.1")

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
    def test_tells_whether_the_connection_stays(self, text: bytes, keeps: bool) -> None:
        assert head(text).keep_alive is keeps

    def test_leaves_an_upgrade_aside(self) -> None:
        """As RFC 9110 allows; `curl --http2` makes such an offer."""
        request = head(b"GET /v2 HTTP/1.1\nConnection: Upgrade\nUpgrade: h2c\nAfter: x")

        assert request.headers[b"after"] == b"x"
        assert request.keep_alive

    def test_expects_continue_only_in_http_1_1(self) -> None:
        assert head(b"POST / HTTP/1.1\nExpect: 100-Continue\nContent-Length: 1").expect_continue
        assert not head(b"POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 1").expect_continue

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
    def test_refuses_what_is_malformed_or_ambiguous(self, text: bytes, status: int) -> None:
        with pytest.raises(HttpError) as error:
            parse_head(text + b"\r\n\r\n", LIMITS)

        assert error.value.status == status
        assert str(error.value).isprintable()

    def test_limits_target_and_fields(self) -> None:
        limits = replace(LIMITS, target_bytes=10, header_count=2)

        assert head(b"GET /123456789 HTTP/1.1\nA: a\nB: b", limits).path == "/123456789"
        with pytest.raises(HttpError, match="longer than 10 bytes") as too_long:
            head(b"GET /1234567890 HTTP/1.1", limits)
        assert too_long.value.status == 414
        with pytest.raises(HttpError, match="more than 2 header fields") as too_many:
            head(b"GET / HTTP/1.1\nA: a\nB: b\nC: c", limits)
        assert too_many.value.status == 431

    def test_memo_gives_what_parsing_gives(self) -> None:
        parse = head_parser(LIMITS)
        raw = b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n"

        assert parse(raw) == parse_head(raw, LIMITS)
        assert parse(raw) is parse(bytes(bytearray(raw)))
        assert parse(raw.replace(b"h\r", b"g\r")).headers[b"host"] == b"g"
        for _ in range(2):
            with pytest.raises(HttpError):
                parse(b"GET /\r\n\r\n")


class TestReader:
    def test_reads_pipelined_requests_of_every_framing(self) -> None:
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
    def test_cutting_the_stream_changes_nothing(self, data: st.DataObject) -> None:
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
    def test_garbage_gives_an_error_or_waits_and_cutting_it_changes_nothing(self, garbage: bytes, step: int) -> None:
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
    def test_nearly_http_is_read_the_same_however_it_is_cut(self, tokens: list[bytes]) -> None:
        stream = b"".join(tokens)

        assert read([bytes([byte]) for byte in stream]) == read([stream])

    def test_tells_a_tls_client_at_once(self) -> None:
        reader = RequestReader(LIMITS)
        reader.buffer.lend(bytearray(b"\x16\x03\x01\x02\x00"), 5)

        with pytest.raises(HttpError, match="http:// instead of https://"):
            reader.next_head()

    @pytest.mark.parametrize("text", [b"\n", b"\0", b" GET", b"\rG", b"{}", b"get", b"\r\n\nGET / HTTP/1.1\r\n\r\n"])
    def test_refuses_at_once_what_is_no_request(self, text: bytes) -> None:
        assert read([text]) == [400]

    def test_refuses_a_head_that_grows_too_large(self) -> None:
        limits = replace(LIMITS, head_bytes=200, target_bytes=50)
        long_field = b"GET / HTTP/1.1\r\nA: " + b"x" * 300

        assert read([long_field[at : at + 10] for at in range(0, 310, 10)], limits) == [431]
        assert read([long_field + b"\r\n\r\n"], limits) == [431]
        assert read([b"GET /" + b"x" * 100], limits) == [414]
        assert read([b"GET /" + b"x" * 60], limits) == []

    def test_memory_of_used_bytes_is_dropped(self) -> None:
        buffer = ReceiveBuffer()
        lent = bytearray(b"x" * 100)
        for _ in range(1000):
            buffer.lend(lent, 100)
            buffer.keep()
            buffer.take(len(buffer) - 10)

        assert len(buffer) == 10
        assert len(buffer._kept) < 1000


class TestChunked:
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
    def test_joins_chunks(self, body: bytes, expected: bytes) -> None:
        assert self.read(body) == [("/", expected)]

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
    def test_refuses_what_is_malformed(self, body: bytes) -> None:
        assert self.read(body) == [400]

    def test_limits_the_number_of_chunks_with_tritons_text(self) -> None:
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

    def test_limits_sizes(self) -> None:
        limits = Limits(body_bytes=10, chunk_line_bytes=20, trailer_bytes=20)

        assert self.read(b"A\r\n0123456789\r\n0\r\n\r\n", limits) == [("/", b"0123456789")]
        assert self.read(b"A\r\n0123456789\r\n1\r\n", limits) == [413]
        assert self.read(b"ffffffffffffffff\r\n", limits) == [413]
        assert self.read(b"1;" + b"x" * 18, limits) == [400]
        assert self.read(b"0\r\nA: 890123\r\nB: 89012\r\n", limits) == [431]
        assert self.read(b"0\r\nA: " + b"x" * 17, limits) == [431]

    @staticmethod
    def read(body: bytes, limits: Limits = LIMITS) -> list[tuple[str, bytes] | int]:
        stream = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        whole = read([stream], limits)
        assert read([bytes([byte]) for byte in stream], limits) == whole
        return whole


class TestResponse:
    def test_head_has_length_and_fields_in_order(self) -> None:
        fields = ((b"Content-Type", b"application/json"), (b"X-A", b"b"))

        rendered = render_head(200, fields, 12, head(b"GET / HTTP/1.1"), keep_alive=True)

        assert rendered == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: b\r\nContent-Length: 12\r\n\r\n"

    def test_405_has_tritons_reason(self) -> None:
        assert render_head(405, (), 0, None, keep_alive=True).startswith(b"HTTP/1.1 405 Not Allowed\r\n")

    @pytest.mark.parametrize(
        ("version", "keep_alive", "line"),
        [
            (b"1.1", True, b""),
            (b"1.1", False, b"Connection: close\r\n"),
            (b"1.0", True, b"Connection: keep-alive\r\n"),
            (b"1.0", False, b"Connection: close\r\n"),
        ],
    )
    def test_connection_is_told_where_it_is_not_the_rule(self, version: bytes, keep_alive: bool, line: bytes) -> None:
        rendered = render_head(200, (), 0, head(b"GET / HTTP/" + version), keep_alive)

        assert rendered == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + b"\r\n"


def test_fields_stay_as_they_came() -> None:
    head = parse_head(b"GET / HTTP/1.1\r\nHost: x\r\nMy-A:  1 2 \r\nmy-a: 3\r\n\r\n", Limits())
    assert head.fields == ((b"Host", b"x"), (b"My-A", b"1 2"), (b"my-a", b"3"))
    assert dict(head.headers) == {b"host": b"x", b"my-a": b"1 2, 3"}
