# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from naiad.options import ServerOptions
from naiad.protocol.http2.limits import PingPolicy
from naiad.server.grpc.settings import GrpcSettings, Keepalive, grpc_settings

OPTIONS = ServerOptions(model_repository=("models",))


def test_the_defaults_of_the_options_are_those_of_the_port() -> None:
    assert grpc_settings(OPTIONS) == GrpcSettings()


def test_milliseconds_become_seconds_and_zero_no_limit() -> None:
    options = replace(
        OPTIONS,
        grpc_keepalive_time=1500,
        grpc_keepalive_timeout=2500,
        grpc_http2_max_pings_without_data=7,
        grpc_max_connection_age=3500,
        grpc_max_connection_age_grace=4500,
        grpc_infer_response_compression_level="low",
    )
    settings = grpc_settings(options)
    assert settings.keepalive == Keepalive(time_s=1.5, timeout_s=2.5, max_pings_without_data=7)
    assert (settings.max_connection_age_s, settings.max_connection_age_grace_s) == (3.5, 4.5)
    assert settings.response_level == "low"
    assert grpc_settings(OPTIONS).max_connection_age_s is None
    assert grpc_settings(OPTIONS).max_connection_age_grace_s is None


def test_clients_without_calls_may_ping_as_often_as_others_only_where_that_is_permitted() -> None:
    options = replace(OPTIONS, grpc_http2_min_recv_ping_interval_without_data=250, grpc_http2_max_ping_strikes=5)
    strict, permitting = (
        grpc_settings(replace(options, grpc_keepalive_permit_without_calls=permits)).pings for permits in (False, True)
    )
    assert strict == PingPolicy(min_interval_s=0.25, max_strikes=5)
    assert permitting == PingPolicy(min_interval_s=0.25, min_idle_interval_s=0.25, max_strikes=5)
