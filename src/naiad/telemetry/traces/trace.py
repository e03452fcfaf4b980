# SPDX-License-Identifier: Apache-2.0
"""One traced request: what happens to it is noted here, under Triton's names. Written on the event loop only."""

import re
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from naiad.tensors import Array

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")

REQUEST_START = "REQUEST_START"
REQUEST_END = "REQUEST_END"


class Stamp(NamedTuple):
    """That something happened, and when (monotonic ns)."""

    name: str
    ns: int


class TensorNote(NamedTuple):
    """A tensor as it was when `activity` happened; `array` holds `bytes` objects for BYTES, raw `uint16` for BF16."""

    activity: str
    name: str
    datatype: str
    shape: tuple[int, ...]
    array: Array


class RemoteSpan(NamedTuple):
    """The client's span that a request belongs to (W3C Trace Context)."""

    trace_id: int
    span_id: int


def read_traceparent(value: str) -> RemoteSpan | None:
    """Return what the header `traceparent` names; None for one that is not as W3C Trace Context wants it."""
    found = _TRACEPARENT.fullmatch(value.strip())
    if found is None or (value.strip().startswith("00") and found[3]):
        return None
    return RemoteSpan(int(found[1], 16), int(found[2], 16))


class Series:
    """The traces that are taken under one state of the settings.

    They fill files of `log_frequency` traces (0: one file for all), and are `count` in all (-1: any number).
    """

    __slots__ = ("count", "log_frequency")

    def __init__(self, log_frequency: int = 0, count: int = -1) -> None:
        self.log_frequency = log_frequency
        self.count = count


class Trace:
    """What is noted of one request until it is closed; what comes later is ignored.

    `transport` is HTTP or GRPC, `parent_id` the trace of the request that this one is a part of (0: none). `notes`
    are in the order in which they were made; `began_ns` and `ended_ns` (monotonic) enclose them. `model_name`,
    `model_version` and `request_id` are there from the moment a model has accepted the request.
    """

    __slots__ = (
        "_finish",
        "_is_closed",
        "_with_tensors",
        "_with_timestamps",
        "began_ns",
        "ended_ns",
        "has_started",
        "id",
        "model_name",
        "model_version",
        "notes",
        "parent_id",
        "remote",
        "request_id",
        "series",
        "transport",
    )

    def __init__(
        self,
        number: int,
        *,
        transport: str,
        levels: Iterable[str],
        series: Series,
        finish: "Callable[[Trace], None]",
        remote: RemoteSpan | None = None,
        parent_id: int = 0,
    ) -> None:
        self.id = number
        self.transport = transport
        self.series = series
        self.remote = remote
        self.parent_id = parent_id
        self.model_name = self.model_version = self.request_id = ""
        self.has_started = False
        self.notes: list[Stamp | TensorNote] = []
        self.began_ns = self.ended_ns = time.monotonic_ns()
        self._with_timestamps = "TIMESTAMPS" in levels
        self._with_tensors = "TENSORS" in levels
        self._finish: Callable[[Trace], None] = finish
        self._is_closed = False

    @property
    def tensor_bytes(self) -> int:
        """How much memory the tensors keep from being given free."""
        return sum(note.array.nbytes for note in self.notes if isinstance(note, TensorNote))

    # -- the front end's part

    def received(self, since_ns: int = 0) -> None:
        """Note that the request is there, of which the first bytes came `since_ns` (monotonic; 0: just now)."""
        now_ns = time.monotonic_ns()
        self.began_ns = since_ns or now_ns
        receiving = "HTTP_RECV" if self.transport == "HTTP" else "GRPC_WAITREAD"
        self._stamp(f"{receiving}_START", self.began_ns)
        self._stamp(f"{receiving}_END", now_ns)

    def sending(self) -> None:
        """Note that an answer is about to be sent."""
        self._stamp(f"{self.transport}_SEND_START", time.monotonic_ns())

    def sent(self, *, final: bool = True) -> None:
        """Note that an answer has been handed to the socket; after the `final` one the trace is closed."""
        self._stamp(f"{self.transport}_SEND_END", time.monotonic_ns())
        if final:
            self.close()

    def close(self) -> None:
        """End the trace, also of a request that nobody waits for any more."""
        if self._is_closed:
            return
        if self.has_started and not any(note[0] == REQUEST_END for note in self.notes):
            self.request_ended()
        self.ended_ns = time.monotonic_ns()
        self._is_closed = True
        self._finish(self)

    # -- the engine's part

    def request_started(self, model_name: str, model_version: str, request_id: str, now_ns: int) -> None:
        """Note that a model has accepted the request, at `now_ns` (monotonic), and that it waits in its queue."""
        self.has_started = True
        self.model_name, self.model_version, self.request_id = model_name, model_version, request_id
        self._stamp(REQUEST_START, now_ns)
        self._stamp("QUEUE_START", time.monotonic_ns())

    def input_queued(self, name: str, datatype: str, shape: tuple[int, ...], array: Array) -> None:
        """Note an input of the request."""
        self._tensor("TENSOR_QUEUE_INPUT", name, datatype, shape, array)

    def computed(self, start_ns: int, input_end_ns: int, infer_end_ns: int, output_end_ns: int) -> None:
        """Note when the parts of the execution were over (monotonic)."""
        self._stamp("COMPUTE_START", start_ns)
        self._stamp("COMPUTE_INPUT_END", input_end_ns)
        self._stamp("COMPUTE_OUTPUT_START", infer_end_ns)
        self._stamp("COMPUTE_END", output_end_ns)

    def output_made(self, name: str, datatype: str, shape: tuple[int, ...], array: Array) -> None:
        """Note an output of the model."""
        self._tensor("TENSOR_BACKEND_OUTPUT", name, datatype, shape, array)

    def responded(self) -> None:
        """Note that a response, or an error in its place, is complete."""
        self._stamp("INFER_RESPONSE_COMPLETE", time.monotonic_ns())

    def request_ended(self) -> None:
        """Note that the model is done with the request."""
        self._stamp(REQUEST_END, time.monotonic_ns())

    def _stamp(self, name: str, ns: int) -> None:
        if self._with_timestamps and not self._is_closed:
            self.notes.append(Stamp(name, ns))

    def _tensor(self, activity: str, name: str, datatype: str, shape: tuple[int, ...], array: Array) -> None:
        if self._with_tensors and not self._is_closed:
            # A copy: what the array views may be written again, in a client's shared memory at any time.
            self.notes.append(TensorNote(activity, name, datatype, shape, array.copy()))
