# SPDX-License-Identifier: Apache-2.0
import gzip
import zlib

import pytest

from naiad.protocol.compression import compress
from naiad.protocol.grpc.call import GrpcError, GrpcStatus
from naiad.protocol.grpc.compression import compressed, decompress, response_encoding
from naiad.protocol.grpc.response import EncodedMessage

BOTH = frozenset(("gzip", "deflate"))


class Memory:
    """A message's buffer."""

    def __init__(self) -> None:
        self.data = bytearray()

    def append(self, data: memoryview) -> None:
        self.data += data


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compression_is_undone(encoding: str) -> None:
    data = bytes(1_000_000) + b"end"
    packed = compressed(EncodedMessage([data[:10], memoryview(data)[10:]], len(data)), encoding)
    assert packed.size_bytes == len(packed.buffers[0]) < len(data)
    memory = Memory()
    decompress(memoryview(packed.buffers[0]), encoding, memory)
    assert bytes(memory.data) == data


def test_encodings_are_those_of_other_libraries() -> None:
    assert gzip.decompress(compress([b"abc"], "gzip")) == b"abc"
    assert zlib.decompress(compress([b"abc"], "deflate")) == b"abc"


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        (b"abc", "gzip", "not valid gzip data"),
        (gzip.compress(b"abc")[:-9], "gzip", "cut short"),
        (b"", "deflate", "cut short"),
        (zlib.compress(b"abc") + b"x", "deflate", "followed by other bytes"),
        (b"abc", "identity", "the call has no grpc-encoding"),
    ],
)
def test_what_cannot_be_decompressed_is_refused(data: bytes, encoding: str, text: str) -> None:
    with pytest.raises(GrpcError, match=text) as caught:
        decompress(memoryview(data), encoding, Memory())
    assert caught.value.status is GrpcStatus.INTERNAL


@pytest.mark.parametrize(
    ("level", "accepts", "encoding"),
    [
        ("none", BOTH, "identity"),
        ("low", BOTH, "gzip"),
        ("medium", BOTH, "deflate"),
        ("high", BOTH, "deflate"),
        ("low", frozenset(("deflate",)), "deflate"),
        ("high", frozenset(("gzip",)), "gzip"),
        ("high", frozenset(), "identity"),
    ],
)
def test_the_level_and_the_client_choose_the_encoding(level: str, accepts: frozenset[str], encoding: str) -> None:
    assert response_encoding(level, accepts) == encoding
