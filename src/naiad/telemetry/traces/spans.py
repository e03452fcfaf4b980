# SPDX-License-Identifier: Apache-2.0
"""Traces as OpenTelemetry spans, exported over OTLP/HTTP. Used on the writer's thread only.

As in Triton a request makes a span `InferRequest`, in it one with the name of the model, and in that one `compute`;
what was noted are their events. Needs `opentelemetry-sdk` and `opentelemetry-exporter-otlp-proto-http`, and is
therefore only to be imported where OpenTelemetry's mode is on.
"""

import logging
import time
from collections.abc import Iterable, Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from naiad._version import __version__
from naiad.telemetry.traces.trace import REQUEST_END, REQUEST_START, RemoteSpan, Series, Stamp, Trace

_OF_MODEL = frozenset((REQUEST_START, "QUEUE_START", REQUEST_END))
_OF_COMPUTE = frozenset(("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"))
_UNKNOWN = "unknown_service"


class SpanExport:
    """Sends the spans of finished traces to a collector."""

    def __init__(self, processor: SpanProcessor, resource: Resource) -> None:
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("naiad", __version__)

    @classmethod
    def to_collector(cls, settings: Iterable[tuple[str, str]], service_name: str) -> "SpanExport":
        """Export as Triton's settings of that mode say: `url`, `resource` (`key=value`, repeatable), `bsp_...`.

        What they leave open comes from OpenTelemetry's own environment variables, then from its defaults;
        `service_name` is what the server is called if they do not say.
        """
        # What the libraries log, such as a collector that does not answer, belongs into the server's log.
        logging.getLogger("opentelemetry").parent = logging.getLogger("naiad")
        given = dict(settings)
        processor = BatchSpanProcessor(
            OTLPSpanExporter(endpoint=given.get("url")),
            max_queue_size=_number(given, "bsp_max_queue_size"),
            schedule_delay_millis=_number(given, "bsp_schedule_delay"),
            max_export_batch_size=_number(given, "bsp_max_export_batch_size"),
        )
        attributes = dict(value.split("=", 1) for name, value in settings if name == "resource")
        resource = Resource.create(attributes)
        if str(resource.attributes[SERVICE_NAME]).startswith(_UNKNOWN) and SERVICE_NAME not in attributes:
            resource = resource.merge(Resource({SERVICE_NAME: service_name}))
        return cls(processor, resource)

    def write(self, trace: Trace) -> None:
        """Make the spans of a trace; they are sent some time later."""
        epoch_ns = time.time_ns() - time.monotonic_ns()
        stamps = [Stamp(note.name, note.ns + epoch_ns) for note in trace.notes if isinstance(note, Stamp)]
        of_model = [stamp for stamp in stamps if stamp.name in _OF_MODEL]
        of_compute = [stamp for stamp in stamps if stamp.name in _OF_COMPUTE]
        others = [stamp for stamp in stamps if stamp.name not in _OF_MODEL | _OF_COMPUTE]
        parent = None if trace.remote is None else _context_of(trace.remote)
        span = trace.began_ns + epoch_ns, trace.ended_ns + epoch_ns
        inside = self._add("InferRequest", others, parent, span)
        if of_model:
            inside = self._add(trace.model_name, of_model, inside, attributes=_attributes(trace))
        if of_compute:
            self._add("compute", of_compute, inside)

    def _add(
        self,
        name: str,
        events: Iterable[Stamp],
        parent: Context | None,
        span: tuple[int, int] | None = None,
        attributes: Mapping[str, str | int] | None = None,
    ) -> Context:
        """Make a span that lasts from the first of `events` to the last, or as `span` says (epoch ns)."""
        times = [event.ns for event in events]
        start_ns, end_ns = span or (min(times), max(times))
        # An empty context: there is none around, and what comes without a client's span begins a trace of its own.
        made = self._tracer.start_span(
            name, parent or Context(), kind=SpanKind.SERVER, attributes=attributes, start_time=start_ns
        )
        for event in events:
            made.add_event(event.name, timestamp=event.ns)
        made.end(end_ns)
        return set_span_in_context(made, Context())

    def end(self, series: Series) -> None:
        """Do nothing: spans are sent as they come, whatever they have in common."""

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._provider.shutdown()


def _attributes(trace: Trace) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "triton.model_name": trace.model_name,
        "triton.model_version": int(trace.model_version),
        "triton.trace_id": trace.id,
        "triton.trace_parent_id": trace.parent_id,
    }
    if trace.request_id:
        attributes["triton.request_id"] = trace.request_id
    return attributes


def _context_of(remote: RemoteSpan) -> Context:
    context = SpanContext(remote.trace_id, remote.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(context), Context())


def _number(given: Mapping[str, str], name: str) -> int | None:
    return int(given[name]) if name in given else None
