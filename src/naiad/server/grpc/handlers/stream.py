# SPDX-License-Identifier: Apache-2.0
"""`ModelStreamInfer`: messages in, requests to the data plane, messages out, each in its turn."""

from collections import deque
from functools import partial

from naiad.engine.dataplane import DataPlane, Ticket
from naiad.engine.model import Model
from naiad.errors import NaiadError
from naiad.protocol.grpc.request import RpcRequest, read_infer, read_version
from naiad.protocol.grpc.response import EncodedMessage, encode_stream_error, encode_stream_response
from naiad.requests import InferResponse, is_last
from naiad.server.grpc.call import Call
from naiad.server.grpc.handlers.metadata import fields_of, wants_timing
from naiad.server.grpc.tracing import begun_trace
from naiad.server.transport.forwarding import HeaderForwarding
from naiad.shm.outputs import SharedOutputs
from naiad.shm.regions import Regions
from naiad.telemetry.traces.trace import Trace
from naiad.telemetry.traces.tracer import Tracer

_IN_FLIGHT_PER_STREAM = 256
_UNSENT_BYTES_PER_STREAM = 16 * 1024 * 1024
"""With more requests of a stream under way, or more answers unread, its client has to wait."""
_UNSENT_BYTES_OF_MODELS = 1024 * 1024
"""With more answers unread, decoupled models have to wait, until all are read."""


class _Entry:
    """One request of a stream, its message of `size_bytes`: `answers` wait for their turn until `done`.

    It has a `ticket` while it is under way only: ticket and entry make a circle, and in it are the request's message or
    views of shared memory, which are not to be left to the garbage collector.
    """

    __slots__ = ("answers", "done", "fault", "model", "request", "shared", "size_bytes", "ticket", "trace")

    def __init__(self, request: RpcRequest, size_bytes: int) -> None:
        self.request = request
        self.size_bytes = size_bytes
        self.model: Model | None = None
        self.shared: SharedOutputs | None = None
        self.ticket: Ticket | None = None
        self.trace: Trace | None = None
        self.answers: list[EncodedMessage] = []
        self.done = False
        self.fault: NaiadError | None = None
        """What ends the whole call when it is this request's turn."""

    @property
    def decoupled(self) -> bool:
        """Whether the model answers when and as often as it likes."""
        return self.model is not None and self.model.is_decoupled

    def end_trace(self) -> None:
        """Close the trace, if there is one."""
        if self.trace is not None:
            self.trace.close()


class InferenceStream:
    """One `ModelStreamInfer` call, with requests for any models.

    Answers of models that give one for each request come in the order of the requests; those of decoupled models as
    they are made. A request that fails is answered with `error_message` and the stream goes on, unless the client set
    the metadata `triton_grpc_error`: then the first failure ends it with a status. With the metadata `naiad-timing`
    each response tells where the time of its request went.
    """

    def __init__(
        self,
        call: Call,
        dataplane: DataPlane,
        regions: Regions,
        tracer: Tracer,
        forwarding: HeaderForwarding | None,
    ) -> None:
        self._call = call
        self._dataplane = dataplane
        self._regions = regions
        self._tracer = tracer
        self._forwarding = forwarding
        self._strict = ("triton_grpc_error", b"true") in call.head.metadata
        self._wants_timing = wants_timing(call.head)
        self._in_order: deque[_Entry] = deque()
        self._under_way: set[_Entry] = set()
        self._half_closed = False
        self._models_wait = False

    def on_message(self, message: memoryview) -> None:
        """Take a request."""
        entry = _Entry(read_infer(message), len(message))
        try:
            self._submit(entry)
        except NaiadError as error:
            if not entry.decoupled and entry not in self._in_order:
                self._in_order.append(entry)
            self._fail(entry, error, None)
        self._regulate()

    def _submit(self, entry: _Entry) -> None:
        declaration = entry.request.declaration
        entry.model = model = self._dataplane.find(declaration.model_name, read_version(declaration.model_version))
        if self._tracer.is_active:
            entry.trace = begun_trace(self._tracer, self._call, model.name)
        request = entry.request.to_request(self._regions.readable)
        if self._wants_timing:
            request = request._replace(wants_timing=True)
        if self._forwarding is not None:
            request = self._forwarding.add_to(request, fields_of(self._call.head))
        if declaration.shared:
            entry.shared = SharedOutputs(self._regions, declaration.shared)
        if not entry.decoupled:
            self._in_order.append(entry)
        self._under_way.add(entry)
        try:
            ticket = self._dataplane.infer(model, request, partial(self._on_response, entry), entry.trace)
        except NaiadError:
            self._under_way.discard(entry)
            raise
        if entry in self._under_way:  # else it is answered already
            entry.ticket = ticket
            if entry.decoupled and self._models_wait:
                ticket.hold_back(True)

    def _on_response(self, entry: _Entry, response: InferResponse | NaiadError) -> None:
        self._call.run(self._take_response, entry, response)

    def _take_response(self, entry: _Entry, response: InferResponse | NaiadError) -> None:
        model = entry.model
        if self._call.ended or model is None:
            return
        if is_last(response):
            self._under_way.discard(entry)
            entry.ticket = None
        if isinstance(response, NaiadError):
            self._fail(entry, response, _told_model(entry))
        elif response.error is not None:
            self._fail(entry, response.error, _told_model(entry), response.final)
        else:
            self._take_answer(entry, model, response)
        self._regulate()

    def _take_answer(self, entry: _Entry, model: Model, response: InferResponse) -> None:
        declaration, metadata = entry.request.declaration, model.metadata
        if entry.decoupled and response.says_only_last:
            # It only says that it is the last, and is sent to those who asked for it.
            if declaration.enable_empty_final:
                told = response._replace(model_version=declaration.model_version)
                self._send(entry, encode_stream_response(told, (), {}, False, (), entry.size_bytes))
            entry.end_trace()
            self._end_if_done()
            return
        batching = metadata.max_batch_size > 0
        try:
            if entry.shared is not None:
                entry.shared.write(response)
            encoded = encode_stream_response(
                response, declaration.outputs, metadata.labels, batching, declaration.shared, entry.size_bytes
            )
        except NaiadError as error:
            self._fail(entry, error, _told_model(entry))
            return
        self._put(entry, encoded, response.final)

    def _fail(self, entry: _Entry, error: NaiadError, model: tuple[str, str] | None, final: bool = True) -> None:
        """Answer a request that failed; `model` is its name and version if it had got that far."""
        if not self._strict:
            self._put(entry, encode_stream_error(str(error), entry.request.id, model, final), final)
        elif entry.decoupled:
            self._call.fail(error)
        else:
            # Its traceback may hold the frame that holds the entry: another circle.
            entry.fault, entry.done = error.with_traceback(None), True
            self._send_in_order()

    def _put(self, entry: _Entry, encoded: EncodedMessage, final: bool) -> None:
        """Send an answer when it is its turn."""
        if entry.decoupled:
            self._send(entry, encoded)
            if final:
                entry.end_trace()
        else:
            entry.answers.append(encoded)
            entry.done = final
            self._send_in_order()
        self._end_if_done()

    def _send_in_order(self) -> None:
        while self._in_order and self._in_order[0].done:
            entry = self._in_order.popleft()
            for answer in entry.answers:
                self._send(entry, answer)
            entry.end_trace()
            if entry.fault is not None:
                self._call.fail(entry.fault)
                return

    def _send(self, entry: _Entry, encoded: EncodedMessage) -> None:
        trace = entry.trace
        if trace is None:
            self._call.send(encoded, compress_it=True)
        else:
            trace.sending()
            self._call.send(encoded, compress_it=True)
            trace.sent(final=False)

    def on_half_close(self) -> None:
        """End the call once all requests are answered."""
        self._half_closed = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._half_closed and not self._in_order and not self._under_way:
            self._call.finish()

    def _regulate(self) -> None:
        """Let the client wait while it has too much under way."""
        busy = max(len(self._under_way), len(self._in_order)) > _IN_FLIGHT_PER_STREAM
        unsent_bytes = self._call.unsent_bytes
        self._call.hold_back(busy or unsent_bytes > _UNSENT_BYTES_PER_STREAM)
        if unsent_bytes > _UNSENT_BYTES_OF_MODELS:
            self._let_models_wait(True)

    def on_drained(self) -> None:
        """Let client and decoupled models go on: all answers are read."""
        self._let_models_wait(False)
        self._regulate()

    def _let_models_wait(self, wait: bool) -> None:
        if self._models_wait is wait:
            return
        self._models_wait = wait
        for entry in self._under_way:
            if entry.decoupled and entry.ticket is not None:
                entry.ticket.hold_back(wait)

    def on_cancel(self) -> None:
        """Withdraw the requests under way."""
        under_way, in_order = tuple(self._under_way), tuple(self._in_order)
        self._under_way.clear()
        self._in_order.clear()
        for entry in under_way:
            ticket, entry.ticket = entry.ticket, None
            if ticket is not None:
                ticket.cancel()
        for entry in (*under_way, *in_order):
            entry.end_trace()


def _told_model(entry: _Entry) -> tuple[str, str]:
    """Return the name and version that an error tells: as in Triton the version that was asked for, usually none."""
    declaration = entry.request.declaration
    return declaration.model_name, declaration.model_version
