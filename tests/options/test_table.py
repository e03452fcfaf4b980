# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.options import DEFAULTS, FIELD_FLAGS, BackendOption, ServerOptions

MINIMAL = ServerOptions(model_repository=("models",))


def test_defaults_are_tritons_but_for_name_and_addresses() -> None:
    assert MINIMAL.id == "naiad"
    assert MINIMAL.http_address == MINIMAL.grpc_address == MINIMAL.effective_metrics_address == "127.0.0.1"
    assert (MINIMAL.http_port, MINIMAL.grpc_port, MINIMAL.metrics_port) == (8000, 8001, 8002)
    assert MINIMAL.exit_timeout_secs == 30
    assert (MINIMAL.grpc_keepalive_time, MINIMAL.grpc_keepalive_timeout) == (7_200_000, 20_000)
    assert MINIMAL.grpc_infer_response_compression_level == "none"
    assert MINIMAL.http_max_input_size == 67108864
    assert MINIMAL.exit_on_error
    assert MINIMAL.strict_readiness
    assert MINIMAL.auto_complete


def test_metrics_address_follows_the_http_address_unless_given() -> None:
    assert replace(MINIMAL, http_address="0.0.0.0").effective_metrics_address == "0.0.0.0"
    assert replace(MINIMAL, http_address="0.0.0.0", metrics_address="::1").effective_metrics_address == "::1"


def test_every_row_has_group_help_and_a_checkable_default() -> None:
    for name, row in FIELD_FLAGS.items():
        assert row.group
        assert row.help.endswith(".")
        if row.choices:
            assert DEFAULTS[name] in row.choices


def test_repository_is_required() -> None:
    with pytest.raises(InvalidArgumentError, match="--model-repository is missing, expected a folder"):
        ServerOptions()


def test_object_stores_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="s3://bucket: object stores are not available"):
        ServerOptions(model_repository=("models", "s3://bucket"))


def test_values_are_checked_in_python_too() -> None:
    with pytest.raises(InvalidArgumentError, match="--metrics-port expects a number from 0 to 65535, got 70000"):
        replace(MINIMAL, metrics_port=70000)


def test_two_services_on_one_port_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"--http-port and --metrics-port are both 8002 on 127\.0\.0\.1"):
        replace(MINIMAL, http_port=8002)


@pytest.mark.parametrize(
    ("changes", "both"),
    [
        ({"grpc_port": 8000}, "--http-port and --grpc-port are both 8000"),
        ({"grpc_port": 8002}, "--grpc-port and --metrics-port are both 8002"),
    ],
)
def test_the_port_of_grpc_is_compared_too(changes: dict[str, object], both: str) -> None:
    with pytest.raises(InvalidArgumentError, match=both):
        replace(MINIMAL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"grpc_use_ssl": True}, "--grpc-server-cert, --grpc-server-key, expected"),
        ({"grpc_use_ssl": True, "grpc_server_cert": "c"}, "needs --grpc-server-key, expected"),
        (
            {"grpc_use_ssl_mutual": True, "grpc_server_cert": "c", "grpc_server_key": "k"},
            "needs --grpc-root-cert, expected",
        ),
        ({"http_use_ssl": True}, "TLS of HTTP needs --http-server-cert, --http-server-key, expected"),
        (
            {"http_use_ssl_mutual": True, "http_server_cert": "c", "http_server_key": "k"},
            "TLS of HTTP needs --http-root-cert, expected",
        ),
    ],
)
def test_tls_without_its_files_is_refused(changes: dict[str, object], missing: str) -> None:
    with pytest.raises(InvalidArgumentError, match=missing):
        replace(MINIMAL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"http_port": 0, "metrics_port": 0},
        {"grpc_port": 8000, "allow_grpc": False},
        {"grpc_port": 8000, "grpc_address": "0.0.0.0"},
        {"http_port": 8002, "allow_metrics": False},
        {"http_port": 8002, "metrics_address": "127.0.0.2"},
    ],
)
def test_ports_that_cannot_collide_are_let_through(changes: dict[str, object]) -> None:
    assert replace(MINIMAL, **changes).allow_http  # type: ignore[arg-type]


def test_backend_options_of_its_own_win_over_those_for_all() -> None:
    chosen = replace(
        MINIMAL,
        backend_config=(
            BackendOption("onnxruntime", "a", "own"),
            BackendOption("", "a", "all"),
            BackendOption("", "b", "first"),
            BackendOption("", "b", "second"),
            BackendOption("python", "c", "other"),
        ),
    )
    assert chosen.backend_options("onnxruntime") == {"a": "own", "b": "second"}


@pytest.mark.parametrize("changes", [{"disable_auto_complete_config": True}, {"strict_model_config": True}])
def test_either_flag_turns_auto_completion_off(changes: dict[str, bool]) -> None:
    assert not replace(MINIMAL, **changes).auto_complete  # type: ignore[arg-type]
