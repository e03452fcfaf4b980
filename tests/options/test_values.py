# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from naiad.errors import InvalidArgumentError
from naiad.options import MetricsSettings, Quantile, RestrictedGroup, ServerOptions, parse_value

MINIMAL = ServerOptions(model_repository=("models",))


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


@pytest.mark.parametrize(
    ("pattern", "name", "is_found"),
    [
        ("x-", b"My-X-A", True),
        ("X-", b"my-x-a", True),
        ("^x-", b"my-x-a", False),
        ("(?-i)x-", b"X-A", False),
        ("(?-i)x-", b"x-a", True),
        ("(?i)x-", b"X-A", True),
        ("a|(?-i:B)", b"b", False),
    ],
)
def test_the_pattern_of_forwarded_names_is_found_anywhere_and_in_any_case(
    pattern: str, name: bytes, is_found: bool
) -> None:
    options = replace(MINIMAL, http_header_forward_pattern=pattern, grpc_header_forward_pattern=pattern)
    patterns = options.http_forwarded_names, options.grpc_forwarded_names
    assert [bool(one and one.search(name)) for one in patterns] == [is_found] * 2


def test_no_names_are_forwarded_without_a_pattern() -> None:
    assert MINIMAL.http_forwarded_names is MINIMAL.grpc_forwarded_names is None


@pytest.mark.parametrize("field", ["http_header_forward_pattern", "grpc_header_forward_pattern"])
@pytest.mark.parametrize("pattern", ["(", "*", "(?-i)[a", "\udc80"])
def test_what_is_no_regular_expression_is_refused_with_an_example(field: str, pattern: str) -> None:
    flag = field.replace("_", "-")
    with pytest.raises(InvalidArgumentError, match=rf"^--{flag}=.*: no regular expression: .*; such as \^"):
        replace(MINIMAL, **{field: pattern})  # type: ignore[arg-type]  # a text
