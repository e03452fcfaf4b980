# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.protocol.timing_fields import asks_for_timing, timing_fields, timing_parameters
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
    told = {
        "naiad-request-us": 9999,
        "naiad-queue-us": 0,
        "naiad-compute-input-us": 1,
        "naiad-compute-infer-us": 2500,
        "naiad-compute-output-us": 0,
        "naiad-request-bytes": 70,
        "naiad-response-bytes": 80,
    }
    assert timing_parameters(timing, 70, 80) == told
    assert {name.decode(): int(value) for name, value in timing_fields(timing, 70, 80)} == told
