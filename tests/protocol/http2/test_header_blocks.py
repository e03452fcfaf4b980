# SPDX-License-Identifier: Apache-2.0
import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode, StreamFailedError
from naiad.protocol.http2.header_blocks import HeaderDecoder, encode_fields
from naiad.protocol.http2.limits import Http2Limits

FIELDS = [(":method", "POST"), (":scheme", "http"), (":path", "/a/B"), ("content-type", "application/grpc")]


def test_a_repeated_block_is_decoded_once_and_means_the_same_head() -> None:
    encoder, decoder = Encoder(), HeaderDecoder(Http2Limits())
    decoder.decode(encoder.encode(FIELDS))
    second, third = (decoder.decode(encoder.encode(FIELDS)) for _ in range(2))
    assert second is third
    assert second.request() is third.request()
    assert second.request().path == "/a/B"


def test_a_block_of_many_fields_is_not_remembered() -> None:
    """Some 500 fit into a kilobyte, and become 60 KB; a connection may remember 64 blocks."""
    block, decoder = Encoder().encode([(":method", "GET")] * 100), HeaderDecoder(Http2Limits())
    assert decoder.decode(block) is not decoder.decode(block)


def test_a_change_of_the_table_ends_the_memo() -> None:
    encoder, decoder = Encoder(), HeaderDecoder(Http2Limits())
    decoder.decode(encoder.encode([("x", "1")]))
    again = encoder.encode([("x", "1")])
    assert decoder.decode(again).fields == ((b"x", b"1"),)
    decoder.decode(encoder.encode([("y", "2")]))  # moves the entries on by one
    assert decoder.decode(again).fields == ((b"y", b"2"),)


def test_a_table_made_smaller_ends_the_memo() -> None:
    encoder, decoder = Encoder(), HeaderDecoder(Http2Limits())
    decoder.decode(encoder.encode([("x", "1")]))
    again = encoder.encode([("x", "1")])
    decoder.decode(again)
    decoder.decode(b"\x20")
    with pytest.raises(ConnectionFailedError) as caught:
        decoder.decode(again)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_table_emptied_and_made_as_large_as_before_ends_the_memo() -> None:
    encoder, decoder = Encoder(), HeaderDecoder(Http2Limits())
    decoder.decode(encoder.encode([("x", "1")]))
    again = encoder.encode([("x", "1")])
    decoder.decode(again)
    decoder.decode(b"\x20\x3f\xe1\x1f")
    with pytest.raises(ConnectionFailedError) as caught:
        decoder.decode(again)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.text("xyz", max_size=40)), max_size=5), max_size=30
    )
)
def test_decoding_with_the_memo_gives_what_decoding_without_gives(blocks: list[list[tuple[str, str]]]) -> None:
    encoder, decoder, plain = Encoder(), HeaderDecoder(Http2Limits()), Decoder()
    encoder.header_table_size = 200
    for fields in blocks:
        block = encoder.encode(fields)
        want = tuple((bytes(name), bytes(value)) for name, value in plain.decode(block, raw=True))
        assert decoder.decode(block).fields == want


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xff" * 9 + b"\x01",
        b"\x00\x05ab",
        b"\x00\x81\xff\x00",
        b"\x3f\xff\xff\x03",
        b"\x41",
    ],
)
def test_a_block_that_cannot_be_decoded_ends_the_connection(block: bytes) -> None:
    with pytest.raises(ConnectionFailedError) as caught:
        HeaderDecoder(Http2Limits()).decode(block)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_what_is_written_needs_no_table() -> None:
    fields = (
        (b":status", b"200"),
        (b":status", b"405"),
        (b"content-type", b"application/grpc"),
        (b"grpc-message", b"x" * 126),
        (b"grpc-message", b"x" * 127),
        (b"grpc-message", b"x" * 5000),
    )
    decoder = Decoder()
    decoder.max_allowed_table_size = 0
    decoder.header_table_size = 0
    assert tuple(decoder.decode(encode_fields(fields), raw=True)) == fields


GOOD = {":method": "POST", ":scheme": "http", ":path": "/", "a": "b"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([*GOOD.items(), (":authority", "x")], id="pseudo-header field behind others"),
        pytest.param([(":method", "GET"), *GOOD.items()], id="twice"),
        pytest.param([(":status", "200"), *GOOD.items()], id="a response's"),
        pytest.param([(":scheme", "http"), (":path", "/")], id="no method"),
        pytest.param([(":method", "GET"), (":path", "/")], id="no scheme"),
        pytest.param([(":method", "GET"), (":scheme", "http"), (":path", "")], id="empty path"),
        pytest.param([(":method", "GET"), (":scheme", "http"), (":path", "/ü")], id="path beyond ASCII"),
        pytest.param([*GOOD.items(), ("A", "b")], id="upper case"),
        pytest.param([*GOOD.items(), ("", "b")], id="no name"),
        pytest.param([*GOOD.items(), ("a b", "b")], id="space in a name"),
        pytest.param([*GOOD.items(), ("a", "b\r\nc")], id="line feed in a value"),
        pytest.param([*GOOD.items(), ("a", " b")], id="space before a value"),
        pytest.param([*GOOD.items(), ("connection", "close")], id="connection"),
        pytest.param([*GOOD.items(), ("transfer-encoding", "chunked")], id="transfer-encoding"),
        pytest.param([*GOOD.items(), ("te", "gzip")], id="te other than trailers"),
        pytest.param([*GOOD.items(), ("content-length", "1"), ("content-length", "2")], id="two lengths"),
        pytest.param([*GOOD.items(), ("content-length", "-1")], id="negative length"),
    ],
)
def test_a_malformed_head_ends_its_stream(fields: list[tuple[str, str]]) -> None:
    block = encode_fields((name.encode(), value.encode()) for name, value in fields)
    with pytest.raises(StreamFailedError, match="malformed request") as caught:
        HeaderDecoder(Http2Limits()).decode(block).request()
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR


def test_a_good_head_is_read_whole() -> None:
    block = encode_fields((name.encode(), value.encode()) for name, value in {**GOOD, "content-length": "12"}.items())
    head = HeaderDecoder(Http2Limits()).decode(block).request()
    assert (head.method, head.scheme, head.path, head.authority) == ("POST", "http", "/", "")
    assert head.fields == ((b"a", b"b"), (b"content-length", b"12"))
    assert head.content_length == 12
