# SPDX-License-Identifier: Apache-2.0
"""A sink that keeps what it is given, and traces of requests that went well."""

from collections.abc import Callable

import numpy as np
import pytest

from naiad.telemetry.traces.trace import RemoteSpan, Series, Trace


class KeptTraces:
    """Keeps finished traces and ended series."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.ended: list[Series] = []

    def put(self, trace: Trace) -> None:
        self.traces.append(trace)

    def end(self, series: Series) -> None:
        self.ended.append(series)


@pytest.fixture
def sink() -> KeptTraces:
    return KeptTraces()


MakeTrace = Callable[..., Trace]


@pytest.fixture
def finished(sink: KeptTraces) -> MakeTrace:
    """Return a function that makes the finished trace of a request with fixed times where the engine gives them."""

    def make(
        number: int = 1,
        levels: tuple[str, ...] = ("TIMESTAMPS",),
        *,
        series: Series | None = None,
        transport: str = "HTTP",
        remote: RemoteSpan | None = None,
        parent_id: int = 0,
        request_id: str = "my-id",
    ) -> Trace:
        trace = Trace(
            number,
            transport=transport,
            levels=levels,
            series=series or Series(),
            finish=sink.put,
            remote=remote,
            parent_id=parent_id,
        )
        trace.received()
        trace.request_started("identity", "3", request_id, trace.began_ns + 1)
        trace.input_queued("INPUT0", "FP32", (1, 2), np.array([[0.1, 1e20]], np.float32))
        trace.computed(*(trace.began_ns + ns for ns in (20, 30, 40, 50)))
        trace.output_made("OUTPUT0", "INT8", (2,), np.array([-5, 65], np.int8))
        trace.responded()
        trace.request_ended()
        trace.sending()
        trace.sent()
        return trace

    return make
