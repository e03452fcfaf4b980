# SPDX-License-Identifier: Apache-2.0
"""gzip and deflate (zlib-wrapped), which HTTP's bodies and gRPC's messages share. Imports the standard library only."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

WINDOW_BITS: Final[Mapping[str, int]] = {"gzip": 31, "deflate": 15}
"""Name of a coding → how zlib is told which one it is."""

STEP_BYTES: Final = 256 * 1024
"""How much is decompressed at a time, so that what is too large is noticed before it takes much memory."""


def compress(buffers: Sequence[bytes | memoryview], coding: str, level: int = zlib.Z_DEFAULT_COMPRESSION) -> bytes:
    """Return the buffers, one after the other, as one stream of `coding`."""
    stream = zlib.compressobj(level, wbits=WINDOW_BITS[coding])
    parts = [stream.compress(buffer) for buffer in buffers]
    parts.append(stream.flush())
    return b"".join(parts)
