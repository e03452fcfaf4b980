# SPDX-License-Identifier: Apache-2.0
"""How a client asks where the time of its request went, and is told: header fields over HTTP, metadata over gRPC.

Naiad's own: Triton tells it only as sums over all requests. May import `requests`.
"""

from naiad.requests import RequestTiming

REQUEST_FIELD = "naiad-timing"
"""The field by which a request asks; `true` or `1` do."""

_YES = frozenset((b"true", b"1"))


def asks_for_timing(value: bytes | None) -> bool:
    """Tell whether the value of a request's `REQUEST_FIELD` asks for it."""
    return value is not None and value.lower() in _YES


def timing_fields(timing: RequestTiming, request_bytes: int, response_bytes: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields of the answer: times in whole µs, sizes of the bodies or messages as they were sent."""
    return (
        (b"naiad-request-us", b"%d" % (timing.request_ns // 1000)),
        (b"naiad-queue-us", b"%d" % (timing.queue_ns // 1000)),
        (b"naiad-compute-input-us", b"%d" % (timing.compute_input_ns // 1000)),
        (b"naiad-compute-infer-us", b"%d" % (timing.compute_infer_ns // 1000)),
        (b"naiad-compute-output-us", b"%d" % (timing.compute_output_ns // 1000)),
        (b"naiad-request-bytes", b"%d" % request_bytes),
        (b"naiad-response-bytes", b"%d" % response_bytes),
    )
