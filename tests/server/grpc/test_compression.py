# SPDX-License-Identifier: Apache-2.0
import zlib

import pytest

from naiad.errors import UnavailableError
from naiad.protocol.grpc.call import GrpcError
from naiad.protocol.grpc.response import EncodedMessage
from naiad.server.bodies import BodyBudget
from naiad.server.grpc.compression import compressed, response_encoding, unpacked

PLAIN = bytes(range(256)) * 400
MESSAGE = EncodedMessage([PLAIN[:1000], memoryview(PLAIN)[1000:]], len(PLAIN))
BOTH = frozenset(("gzip", "deflate"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_message_comes_back_as_it_was_and_is_charged_while_it_lives(encoding: str) -> None:
    packed, budget = compressed(MESSAGE, encoding), BodyBudget()
    assert packed.size_bytes == len(packed.buffers[0]) < len(PLAIN)
    plain = unpacked(memoryview(packed.buffers[0]), encoding, budget)
    assert plain == PLAIN
    assert budget.in_flight_bytes == len(PLAIN)
    del plain
    assert budget.in_flight_bytes == 0


@pytest.mark.parametrize(
    ("data", "limit_bytes", "error"),
    [
        (zlib.compress(PLAIN)[:-9], 1 << 20, GrpcError),
        (b"no such data", 1 << 20, GrpcError),
        (zlib.compress(PLAIN), 1000, UnavailableError),
    ],
)
def test_nothing_stays_charged_for_what_cannot_be_unpacked(data: bytes, limit_bytes: int, error: type) -> None:
    budget = BodyBudget(limit_bytes)
    with pytest.raises(error):
        unpacked(memoryview(data), "deflate", budget)
    assert budget.in_flight_bytes == 0


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
