# SPDX-License-Identifier: Apache-2.0
"""gzip and deflate (zlib-wrapped) of request and response bodies, and the choice between them.

May import `errors`, `protocol.compression` and its neighbour `body`.
"""

import zlib
from functools import lru_cache

from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.protocol.compression import STEP_BYTES, WINDOW_BITS
from naiad.protocol.http1.body import BodySink

_GZIP_MAGIC = b"\x1f\x8b"


def request_coding(content_encoding: bytes | None) -> str | None:
    """Return "gzip" or "deflate", or None for a body that is as it is.

    Raises:
        UnsupportedError: any other coding (Triton's text).
    """
    if content_encoding is None:
        return None
    coding = content_encoding.decode("latin-1").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding not in WINDOW_BITS:
        raise UnsupportedError("Unsupported compression type")
    return coding


def response_coding(accept_encoding: bytes | None) -> str | None:
    """Return the coding the client likes best, or None for none.

    As Triton does it: the highest q-value wins, the first on ties; what is unknown, `*` included, is passed over.
    """
    return None if accept_encoding is None else _preferred(accept_encoding[:256])


@lru_cache(64)
def _preferred(accept_encoding: bytes) -> str | None:
    best, best_quality = None, 0.0
    for item in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, parameters = item.partition(";")
        coding = coding.strip()
        quality = _quality(parameters)
        if quality > best_quality and (coding in WINDOW_BITS or coding == "identity"):
            best, best_quality = coding, quality
    return None if best == "identity" else best


def _quality(parameters: str) -> float:
    """Return the q-value among `parameters`; 1 without one, 0 for one that is no number."""
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            text = value.strip()
            return float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else 0.0
    return 1.0


def decompress(body: bytes | memoryview, coding: str, max_bytes: int, sink: BodySink) -> None:
    """Append the body as it was before `coding` to `sink`, little by little and never more than `max_bytes`.

    Raises:
        InvalidArgumentError: corrupt, cut short, followed by other bytes, or larger than `max_bytes`.
    """
    left_bytes = max_bytes
    rest = body
    while True:
        stream = zlib.decompressobj(WINDOW_BITS[coding])
        while not stream.eof:
            plain = _step(stream, rest, coding)
            left_bytes -= len(plain)
            if left_bytes < 0:
                raise InvalidArgumentError(
                    f"request body of more than {max_bytes} bytes once decompressed exceeds the maximum allowed input "
                    f"size of {max_bytes} bytes. Use --http-max-input-size to increase the limit."
                )
            sink.append(memoryview(plain))
            rest = stream.unconsumed_tail
        rest = stream.unused_data
        if not rest:
            return
        if coding != "gzip" or rest[:2] != _GZIP_MAGIC:  # a gzip body may have several members (RFC 1952)
            raise InvalidArgumentError(
                f"{coding} request body is followed by {len(rest)} bytes that are not part of it"
            )


def _step(stream: "zlib._Decompress", data: bytes | memoryview, coding: str) -> bytes:
    """Decompress some of `data`; gives nothing only at the end of the stream."""
    try:
        plain = stream.decompress(data, STEP_BYTES)
    except zlib.error as error:
        reason = str(error).rpartition(": ")[2]
        raise InvalidArgumentError(
            f"request body is not valid {coding} data ({reason}); send it as Content-Encoding says"
        ) from None
    if not plain and not stream.eof:
        raise InvalidArgumentError(f"request body is {coding} data that is cut short; send all of it")
    return plain
