# SPDX-License-Identifier: Apache-2.0
"""What is made of wrk's output."""

import pytest

from benchmarks import wrk
from benchmarks.processes import ContestantError
from benchmarks.results import Load

OUTPUT = """\
Running 2s test @ http://127.0.0.1:8000/v2/models/identity/infer
  1 threads and 8 connections
Requests/sec:   2000.00

{"requests": %d, "duration_us": 2000000, "p50_us": 900, "p99_us": 2500, "errors": %d}
"""


def test_the_last_line_says_what_the_window_showed() -> None:
    assert wrk.parse(OUTPUT % (4000, 0), cpu_s=0.4) == Load(rate=2000, p50_us=900, p99_us=2500, cpu_us=100)


@pytest.mark.parametrize(
    ("requests", "errors", "said"),
    [(4000, 3, "3 requests failed, 4000 were answered"), (0, 0, "0 requests failed, 0 were answered")],
)
def test_a_window_with_failures_or_without_answers_does_not_count(requests: int, errors: int, said: str) -> None:
    with pytest.raises(ContestantError, match=said):
        wrk.parse(OUTPUT % (requests, errors), cpu_s=0.4)
