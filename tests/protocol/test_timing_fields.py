# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.protocol.timing_fields import asks_for_timing, timing_fields
from naiad.requests import RequestTiming


@pytest.mark.parametrize(
    ("value", "asks"),
    [(None, False), (b"", False), (b"false", False), (b"0", False), (b"yes", False)]
    + [(value, True) for value in (b"true", b"True", b"1")],
)
def test_only_true_and_1_ask(value: bytes | None, asks: bool) -> None:
    assert asks_for_timing(value) is asks


def test_times_are_whole_microseconds() -> None:
    timing = RequestTiming(
        request_ns=9_999_999, queue_ns=999, compute_input_ns=1000, compute_infer_ns=2_500_000, compute_output_ns=0
    )
    assert dict(timing_fields(timing, 70, 80)) == {
        b"naiad-request-us": b"9999",
        b"naiad-queue-us": b"0",
        b"naiad-compute-input-us": b"1",
        b"naiad-compute-infer-us": b"2500",
        b"naiad-compute-output-us": b"0",
        b"naiad-request-bytes": b"70",
        b"naiad-response-bytes": b"80",
    }
