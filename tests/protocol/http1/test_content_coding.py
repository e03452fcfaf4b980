# SPDX-License-Identifier: Apache-2.0
"""Codings of bodies, and the choice between them as the reference server makes it."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.protocol.compression import compress
from naiad.protocol.http1.content_coding import decompress, request_coding, response_coding

CODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


class Sink(bytearray):
    def append(self, data: memoryview) -> None:  # type: ignore[override]
        self.extend(data)


def plain(body: bytes, coding: str, max_bytes: int = 1 << 20) -> bytes:
    sink = Sink()
    decompress(body, coding, max_bytes, sink)
    return bytes(sink)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        (b"", None),
        (b"gzip", "gzip"),
        (b"deflate", "deflate"),
        (b"GZip", "gzip"),
        (b"identity", None),
        (b"identity, gzip", None),
        (b"gzip;q=0.5, identity", None),
        (b"gzip, identity", "gzip"),
        (b"deflate, gzip", "deflate"),
        (b"gzip;q=0.5, deflate;q=0.8", "deflate"),
        (b"gzip; q=0.5, deflate", "deflate"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.0, deflate;q=0", None),
        (b"gzip;q=abc", None),
        (b"gzip;q=-1", None),
        (b"gzip;q=nan", None),
        (b"*", None),
        (b"br", None),
        (b"x-gzip", None),
        (b"br, gzip;q=0.1", "gzip"),
        (b"gzip, deflate, br, zstd", "gzip"),
    ],
)
def test_the_response_is_coded_as_the_client_likes_best(accepted: bytes | None, coding: str | None) -> None:
    assert response_coding(accepted) == coding


def test_a_request_says_how_it_is_coded() -> None:
    assert request_coding(None) is request_coding(b"") is request_coding(b"identity") is None
    assert request_coding(b"gzip") == request_coding(b" GZIP ") == "gzip"
    assert request_coding(b"deflate") == "deflate"
    for unknown in (b"br", b"gzip, deflate", b"x-gzip"):
        with pytest.raises(UnsupportedError, match=r"^Unsupported compression type$"):
            request_coding(unknown)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(parts=st.lists(st.binary(max_size=200), max_size=4))
def test_what_was_compressed_is_decompressed(coding: str, parts: list[bytes]) -> None:
    body = b"".join(parts)
    coded = compress([memoryview(part) for part in parts], coding)

    assert plain(coded, coding) == body
    assert plain(CODERS[coding](body), coding) == body
    assert (gzip if coding == "gzip" else zlib).decompress(coded) == body


def test_a_gzip_body_may_have_several_members() -> None:
    assert plain(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip") == b"one two"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_damaged_body_is_refused(coding: str) -> None:
    good = CODERS[coding](bytes(range(256)) * 10)
    for cut in range(len(good)):
        with pytest.raises(InvalidArgumentError, match="cut short"):
            plain(good[:cut], coding)
    with pytest.raises(InvalidArgumentError, match=f"is not valid {coding} data"):
        plain(good[:-1] + bytes([good[-1] ^ 1]), coding)
    with pytest.raises(InvalidArgumentError, match="is not valid"):
        plain(b"not compressed at all", coding)
    with pytest.raises(InvalidArgumentError, match="followed by 7 bytes"):
        plain(good + b"garbage", coding)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit(coding: str) -> None:
    bomb = CODERS[coding](bytes(20_000_000))
    sink = Sink()

    with pytest.raises(InvalidArgumentError, match=r"maximum allowed input size of 1000000 bytes\. Use --http-max-"):
        decompress(bomb, coding, 1_000_000, sink)

    assert len(sink) <= 1_000_000
    assert plain(CODERS[coding](bytes(1_000_000)), coding, 1_000_000) == bytes(1_000_000)
