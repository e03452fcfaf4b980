# SPDX-License-Identifier: Apache-2.0
from urllib.parse import unquote, unquote_to_bytes

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import NotFoundError, UnavailableError
from naiad.protocol.grpc import call as grpc_call
from naiad.protocol.grpc.call import GrpcError, GrpcStatus, NotGrpcError, read_call
from naiad.protocol.http2.heads import RequestHead

GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))

Fields = tuple[tuple[bytes, bytes], ...]


def head(*fields: tuple[bytes, bytes], method: str = "POST", base: Fields = GRPC) -> RequestHead:
    return RequestHead(method, "http", "localhost", "/s/M", (*base, *fields))


def test_a_plain_call() -> None:
    call = read_call(head())
    assert (call.path, call.timeout_ns, call.encoding, call.accepts, call.metadata) == (
        "/s/M",
        None,
        "identity",
        frozenset(),
        (),
    )


@pytest.mark.parametrize("content_type", [b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_content_types_of_grpc(content_type: bytes) -> None:
    assert read_call(head(base=((b"content-type", content_type),))).path == "/s/M"


@pytest.mark.parametrize("content_type", [b"application/json", b"application/grpc-web", b"application/grpcx", b""])
def test_other_content_types_are_no_grpc(content_type: bytes) -> None:
    with pytest.raises(NotGrpcError) as caught:
        read_call(head(base=((b"content-type", content_type),)))
    assert caught.value.http_status == 415


def test_other_methods_are_no_grpc() -> None:
    with pytest.raises(NotGrpcError) as caught:
        read_call(head(method="GET"))
    assert caught.value.http_status == 405


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (b"1H", 3_600_000_000_000),
        (b"2M", 120_000_000_000),
        (b"10S", 10_000_000_000),
        (b"99999999m", 99_999_999_000_000),
        (b"5u", 5000),
        (b"7n", 7),
        (b"0S", 0),
    ],
)
def test_timeouts(value: bytes, ns: int) -> None:
    assert read_call(head((b"grpc-timeout", value))).timeout_ns == ns


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"123456789S", b"-1S", b"1.5S", b"1s", b"1 S"])
def test_what_is_no_timeout_is_refused(value: bytes) -> None:
    with pytest.raises(GrpcError, match="expected up to 8 digits") as caught:
        read_call(head((b"grpc-timeout", value)))
    assert caught.value.status is GrpcStatus.INTERNAL


def test_encodings() -> None:
    call = read_call(head((b"grpc-encoding", b"gzip"), (b"grpc-accept-encoding", b"identity, deflate,gzip,br")))
    assert call.encoding == "gzip"
    assert call.accepts == {"gzip", "deflate"}


def test_an_unknown_encoding_is_unimplemented() -> None:
    with pytest.raises(GrpcError, match="'br' is not supported, expected one of identity, gzip, deflate") as caught:
        read_call(head((b"grpc-encoding", b"br")))
    assert caught.value.status is GrpcStatus.UNIMPLEMENTED


def test_metadata_keeps_order_and_binary_values_are_decoded() -> None:
    call = read_call(
        head((b"user-agent", b"x"), (b"b", b"1"), (b"a-bin", b"/wA,AQ=="), (b"b", b"2"), (b"grpc-trace", b"t"))
    )
    assert call.metadata == (("b", b"1"), ("a-bin", b"\xff\x00"), ("a-bin", b"\x01"), ("b", b"2"))


def test_binary_metadata_must_be_base64() -> None:
    with pytest.raises(GrpcError, match="'a-bin' is not base64"):
        read_call(head((b"a-bin", b"*")))


@given(st.text(max_size=200))
def test_a_status_message_survives_the_wire(text: str) -> None:
    coded = grpc_call.encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in coded)
    assert unquote(coded.decode(), errors="strict") == text.encode(errors="replace").decode()


def test_a_status_message_is_escaped_only_where_it_must_be() -> None:
    assert grpc_call.encode_message("'a/b' ~ 100%\n é") == b"'a/b' ~ 100%25%0A %C3%A9"


def test_a_very_long_message_is_cut() -> None:
    assert len(grpc_call.encode_message("x" * 100_000)) == 4096


@pytest.mark.parametrize("character", ["ü", "€", "𝄞", "\0"])
@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_a_long_message_is_cut_between_characters_however_they_are_written(character: str, before: str) -> None:
    """A header block has to fit into one frame, of 16 KiB at most; a larger one cost the client its connection."""
    text = before + character * 4000
    coded = grpc_call.encode_message(text)
    assert 4096 - 12 < len(coded) <= 4096
    assert text.startswith(unquote_to_bytes(coded).decode())


def test_a_message_does_not_begin_or_end_with_a_space() -> None:
    """No field value may (RFC 9113 §8.2.1)."""
    assert grpc_call.encode_message(" a b ") == b"%20a b%20"
    assert grpc_call.encode_message(" ") == b"%20"


def test_the_blocks_of_an_answer() -> None:
    decoder = Decoder()

    def fields(block: bytes) -> list[tuple[str, str]]:
        return [(str(name), str(value)) for name, value in decoder.decode(block)]

    begin = [(":status", "200"), ("content-type", "application/grpc")]
    assert fields(grpc_call.response_headers("identity")) == begin
    assert fields(grpc_call.response_headers("gzip")) == [*begin, ("grpc-encoding", "gzip")]
    assert fields(grpc_call.OK_TRAILERS) == [("grpc-status", "0")]
    assert fields(grpc_call.trailers(GrpcStatus.NOT_FOUND, "no")) == [("grpc-status", "5"), ("grpc-message", "no")]
    assert fields(grpc_call.trailers_only(GrpcStatus.UNIMPLEMENTED, "")) == [*begin, ("grpc-status", "12")]
    assert fields(grpc_call.http_status_only(415)) == [(":status", "415"), ("content-length", "0")]


def test_errors_have_their_status() -> None:
    assert grpc_call.status_of(NotFoundError("x")) is GrpcStatus.NOT_FOUND
    assert grpc_call.status_of(UnavailableError("x")) is GrpcStatus.UNAVAILABLE
    assert grpc_call.status_of(GrpcError(GrpcStatus.DATA_LOSS, "x")) is GrpcStatus.DATA_LOSS
