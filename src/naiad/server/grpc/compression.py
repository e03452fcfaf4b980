# SPDX-License-Identifier: Apache-2.0
"""Compressed messages: what a client sends is unpacked under the budget of bodies, and which answers are compressed.

May import `protocol`, `errors` and `server`'s `bodies`.
"""

from collections.abc import Mapping

from naiad.errors import NaiadError
from naiad.protocol.grpc.messages import compress, decompress
from naiad.protocol.grpc.response import EncodedMessage
from naiad.server.bodies import BodyBudget, BodyBuffer

_BOTH, _GZIP, _DEFLATE = frozenset(("gzip", "deflate")), frozenset(("gzip",)), frozenset(("deflate",))
_ONLY = {_GZIP: "gzip", _DEFLATE: "deflate"}
_LEVELS: Mapping[str, Mapping[frozenset[str], str]] = {
    "none": {},
    "low": {**_ONLY, _BOTH: "gzip"},
    "medium": {**_ONLY, _BOTH: "deflate"},
    "high": {**_ONLY, _BOTH: "deflate"},
}
"""Triton's compression level → what the client accepts → the encoding that gRPC's C++ library takes for them."""


def unpacked(data: memoryview, encoding: str, budget: BodyBudget) -> memoryview:
    """Return a message as it was before `encoding`, charged to `budget` like one that came plain.

    Raises:
        GrpcError: it is no such data, or too large.
        UnavailableError: there is no room for it in the budget.
    """
    plain = BodyBuffer(budget, None)
    try:
        decompress(data, encoding, plain)
    except NaiadError:
        plain.discard()
        raise
    return plain.finish()


def response_encoding(level: str, accepts: frozenset[str]) -> str:
    """Return the encoding of answers at `level` (`--grpc-infer-response-compression-level`) to a client's call."""
    return _LEVELS[level].get(accepts, "identity")


def compressed(encoded: EncodedMessage, encoding: str) -> EncodedMessage:
    """Return the message in `encoding`."""
    made = compress(encoded.buffers, encoding)
    return EncodedMessage([made], len(made))
