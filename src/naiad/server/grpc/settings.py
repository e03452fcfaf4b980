# SPDX-License-Identifier: Apache-2.0
"""What a gRPC port allows its clients, and what the options of the server mean for that.

May import `options` and `protocol`.
"""

from dataclasses import dataclass, field

from naiad.options import ServerOptions
from naiad.protocol.http2.limits import Http2Limits, PingPolicy


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a client may take, in seconds; kept to within `tick_s`.

    `begin_s`: to send the first frames, and a frame or header block that has begun. `message_s`: in every such span a
    message that has begun must advance by `message_progress_bytes`. `stall_s`: without taking any of what the transport
    holds. `linger_s`: to read why the connection ends. `leave_s`: to answer that it knows the server is leaving.
    """

    begin_s: float = 30.0
    message_s: float = 60.0
    message_progress_bytes: int = 1024
    stall_s: float = 60.0
    linger_s: float = 2.0
    leave_s: float = 1.0
    tick_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When the server asks for a sign of life: after `time_s` without one, giving `timeout_s` for the answer.

    Only with calls under way unless `without_calls`; at most `max_pings_without_data` in a row (0: any number).
    """

    time_s: float = 7200.0
    timeout_s: float = 20.0
    without_calls: bool = False
    max_pings_without_data: int = 2


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """What one listener allows.

    `max_connection_age_s` (None: any) is followed by `max_connection_age_grace_s` (None: any) for calls under way.
    `response_level` is Triton's `--grpc-infer-response-compression-level`. `paused_bytes`: with more than this waiting
    for a client that doesn't read, nothing is read from it either.
    """

    limits: Http2Limits = field(default_factory=Http2Limits)
    pings: PingPolicy = field(default_factory=PingPolicy)
    times: TimeLimits = field(default_factory=TimeLimits)
    keepalive: Keepalive = field(default_factory=Keepalive)
    max_connection_age_s: float | None = None
    max_connection_age_grace_s: float | None = None
    response_level: str = "none"
    max_connections: int = 10_000
    paused_bytes: int = 64 * 1024 * 1024


def grpc_settings(options: ServerOptions) -> GrpcSettings:
    """Return the settings of the gRPC port."""
    min_interval_s = options.grpc_http2_min_recv_ping_interval_without_data / 1e3
    without_calls = options.grpc_keepalive_permit_without_calls
    return GrpcSettings(
        pings=PingPolicy(
            min_interval_s=min_interval_s,
            min_idle_interval_s=min_interval_s if without_calls else PingPolicy.min_idle_interval_s,
            max_strikes=options.grpc_http2_max_ping_strikes,
        ),
        keepalive=Keepalive(
            time_s=options.grpc_keepalive_time / 1e3,
            timeout_s=options.grpc_keepalive_timeout / 1e3,
            without_calls=without_calls,
            max_pings_without_data=options.grpc_http2_max_pings_without_data,
        ),
        max_connection_age_s=options.grpc_max_connection_age / 1e3 or None,
        max_connection_age_grace_s=options.grpc_max_connection_age_grace / 1e3 or None,
        response_level=options.grpc_infer_response_compression_level,
    )
