# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.options import BackendOption, environment_name, parse_value


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


def test_a_control_mode_of_triton_that_is_not_here_yet_is_told_apart_from_a_wrong_one() -> None:
    with pytest.raises(UnsupportedError, match="loading and unloading at run time is not available in this version"):
        parse_value("model_control_mode", "explicit")


def test_environment_variables_are_named_after_the_flags() -> None:
    assert environment_name("http_port") == "NAIAD_SERVE_HTTP_PORT"
