# SPDX-License-Identifier: Apache-2.0
"""What the options of the server mean for the gRPC port. May import `options` and its neighbours."""

from naiad.options import ServerOptions
from naiad.protocol.http2.limits import PingPolicy
from naiad.server.grpc.connection import GrpcSettings, Keepalive


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
