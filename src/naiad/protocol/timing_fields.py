# SPDX-License-Identifier: Apache-2.0
"""How a client asks where the time of its request went, and is told.

Who waits for one answer gets header fields over HTTP and trailing metadata over gRPC; in a stream each response has the
same, under the same names, among its parameters.

Naiad's own: Triton tells it only as sums over all requests. May import `requests`.
"""

from collections.abc import Mapping

from naiad.requests import RequestTiming

REQUEST_FIELD = "naiad-timing"
"""The field by which a request asks, or a stream for all its requests; `true` or `1` do."""
REQUEST_HEADER = REQUEST_FIELD.encode()
"""The same as a header's name."""

_YES = frozenset((b"true", b"1"))


def asks_for_timing(value: bytes | None) -> bool:
    """Tell whether the value of a request's `REQUEST_FIELD` asks for it."""
    return value is not None and value.lower() in _YES


def timing_parameters(timing: RequestTiming, request_bytes: int, response_bytes: int) -> Mapping[str, int]:
    """Return what is told, by name: times in whole µs, and the two sizes."""
    return {
        "naiad-request-us": timing.request_ns // 1000,
        "naiad-queue-us": timing.queue_ns // 1000,
        "naiad-compute-input-us": timing.compute_input_ns // 1000,
        "naiad-compute-infer-us": timing.compute_infer_ns // 1000,
        "naiad-compute-output-us": timing.compute_output_ns // 1000,
        "naiad-request-bytes": request_bytes,
        "naiad-response-bytes": response_bytes,
    }


def timing_fields(timing: RequestTiming, request_bytes: int, response_bytes: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields of an answer; sizes are those of the bodies or messages as they were sent."""
    told = timing_parameters(timing, request_bytes, response_bytes)
    return tuple([(name.encode(), b"%d" % value) for name, value in told.items()])
