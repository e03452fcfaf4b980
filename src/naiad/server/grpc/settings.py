# SPDX-License-Identifier: Apache-2.0
"""What the options of the server mean for the gRPC port. May import `options` and its neighbours."""

import ssl

from naiad.options import ServerOptions
from naiad.protocol.http2.limits import PingPolicy
from naiad.server.grpc.connection import GrpcSettings, Keepalive
from naiad.server.grpc.credentials import server_context


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


def tls_context(options: ServerOptions) -> ssl.SSLContext | None:
    """Return the TLS context of the gRPC port; None if it speaks none.

    Raises:
        InvalidArgumentError: a certificate or key cannot be used.
    """
    if not options.grpc_uses_tls:
        return None
    root = options.grpc_root_cert if options.grpc_use_ssl_mutual else ""
    return server_context(options.grpc_server_cert, options.grpc_server_key, root)
