# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from naiad import options
from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.options import (
    DEFAULTS,
    FIELD_FLAGS,
    LATER_FLAGS,
    BackendOption,
    MetricsSettings,
    Quantile,
    RestrictedGroup,
    ServerOptions,
    parse_value,
)

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


def test_no_flag_is_both_served_and_later() -> None:
    served = {options.flag_name(name) for name in FIELD_FLAGS} | {
        alias for f in FIELD_FLAGS.values() for alias in f.aliases
    }
    assert served.isdisjoint(LATER_FLAGS)


def test_repository_is_required() -> None:
    with pytest.raises(InvalidArgumentError, match="--model-repository is missing, expected a folder"):
        ServerOptions()


def test_object_stores_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="s3://bucket: object stores are not available"):
        ServerOptions(model_repository=("models", "s3://bucket"))


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("http_port", "0", 0),
        ("http_port", "65535", 65535),
        ("allow_http", "TRUE", True),
        ("allow_http", "0", False),
        ("id", "", ""),
        ("model_control_mode", "none", "none"),
        (
            "backend_config",
            "onnxruntime,default-max-batch-size=8",
            BackendOption("onnxruntime", "default-max-batch-size", "8"),
        ),
        ("backend_config", ",key=a,b=c", BackendOption("", "key", "a,b=c")),
        ("backend_config", "key=value", BackendOption("", "key", "value")),
        ("backend_config", "tensorflow,key=", BackendOption("tensorflow", "key", "")),
    ],
)
def test_values_are_read_in_their_fields_type(field: str, text: str, value: object) -> None:
    assert parse_value(field, text) == value
    assert type(parse_value(field, text)) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("http_port", "65536", "--http-port expects a number from 0 to 65535, got 65536"),
        ("http_port", "-1", "--http-port expects a number from 0 to 65535, got -1"),
        ("http_port", "http", "--http-port expects a whole number, got 'http'"),
        ("http_max_input_size", "0", "--http-max-input-size expects a number of bytes of at least 1, got 0"),
        ("exit_timeout_secs", "-1", "--exit-timeout-secs expects a number of seconds of at least 0, got -1"),
        ("allow_http", "yes", "--allow-http expects true, false, 1 or 0, got 'yes'"),
        ("model_control_mode", "some", "--model-control-mode expects one of none, got 'some'"),
        (
            "backend_config",
            "novalue",
            "--backend-config expects NAME,KEY=VALUE, or KEY=VALUE for every backend, got 'novalue'",
        ),
        ("backend_config", "onnxruntime,=1", "--backend-config expects NAME,KEY=VALUE"),
    ],
)
def test_a_wrong_value_is_told_the_range(field: str, text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_value(field, text)
    assert str(caught.value).startswith(message)


def test_values_are_checked_in_python_too() -> None:
    with pytest.raises(InvalidArgumentError, match="--metrics-port expects a number from 0 to 65535, got 70000"):
        replace(MINIMAL, metrics_port=70000)


def test_a_control_mode_of_triton_that_is_not_here_yet_is_told_apart_from_a_wrong_one() -> None:
    with pytest.raises(UnsupportedError, match="loading and unloading at run time is not available in this version"):
        parse_value("model_control_mode", "explicit")


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


def test_a_later_flag_is_refused_with_the_feature_and_what_to_do() -> None:
    with pytest.raises(UnsupportedError) as caught:
        options.refuse_later_flag(LATER_FLAGS["rate-limit-resource"], "R1:4")
    assert str(caught.value) == (
        "--rate-limit-resource=R1:4: the rate limiter is not available in this version of Naiad; leave the flag out"
    )


@pytest.mark.parametrize(("flag", "value"), [("model-namespacing", "False"), ("rate-limit", "off")])
def test_a_later_flag_that_asks_for_nothing_is_let_through(flag: str, value: str) -> None:
    options.refuse_later_flag(LATER_FLAGS[flag], value)


def test_environment_variables_are_named_after_the_flags() -> None:
    assert options.environment_name("http_port") == "NAIAD_SERVE_HTTP_PORT"


def test_settings_of_metrics_add_up_and_the_last_one_counts() -> None:
    given = ("summary_latencies=false", "summary_latencies=TRUE", "summary_quantiles=0.5:0.05,0.99:0.001")
    settings = replace(MINIMAL, metrics_config=given).metrics_settings
    assert settings == MetricsSettings(
        summary_latencies=True, summary_quantiles=(Quantile(0.5, 0.05), Quantile(0.99, 0.001))
    )
    assert MINIMAL.metrics_settings == MetricsSettings()


@pytest.mark.parametrize(
    "text",
    [
        *("summary_latencies", "summary_latencies=yes", "other=true", "", "=true"),
        *("summary_quantiles", "summary_quantiles=", "summary_quantiles=0.5", "summary_quantiles=0.5:x"),
        *("summary_quantiles=1.5:0.1", "summary_quantiles=0.5:0", "summary_quantiles=nan:0.1"),
    ],
)
def test_wrong_settings_of_metrics_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"--metrics-config.*: expected .*(0\.99:0\.001)"):
        replace(MINIMAL, metrics_config=(text,))


def test_a_restricted_group_is_read() -> None:
    group = parse_value("http_restricted_api", "health, metadata:admin-key=a=b,c")
    assert group == RestrictedGroup(("health", "metadata"), "admin-key", "a=b,c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("health", "--http-restricted-api expects CATEGORY,CATEGORY:HEADER=VALUE"),
        ("health:key", "--http-restricted-api expects CATEGORY,CATEGORY:HEADER=VALUE"),
        ("health:=s3cret", "--http-restricted-api expects CATEGORY,CATEGORY:HEADER=VALUE"),
        ("health:key=", "--http-restricted-api expects CATEGORY,CATEGORY:HEADER=VALUE"),
        ("health:a key=s3cret", "--http-restricted-api expects CATEGORY,CATEGORY:HEADER=VALUE"),
        ("health=s3cret", "--http-restricted-api expects CATEGORY,CATEGORY:HEADER=VALUE"),
        ("helth:key=s3cret", "unknown restricted api 'helth'"),
        (":key=s3cret", "unknown restricted api ''"),
        ("trace,trace:key=s3cret", "restricted api 'trace' can not be specified in multiple config groups"),
    ],
)
def test_a_restricted_group_that_is_none_is_refused_without_its_secret(text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_value("http_restricted_api", text)
    assert str(caught.value).startswith(message)
    assert "s3cret" not in str(caught.value)


def test_a_category_in_two_groups_is_refused() -> None:
    one, other = (RestrictedGroup(("health", second), "k", "v") for second in ("trace", "logging"))
    with pytest.raises(InvalidArgumentError, match="restricted protocol 'health' can not be specified in multiple"):
        replace(MINIMAL, grpc_restricted_protocol=(one, other))
    assert replace(MINIMAL, http_restricted_api=(one,), grpc_restricted_protocol=(other,)).allow_http
