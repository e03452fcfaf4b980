# SPDX-License-Identifier: Apache-2.0
"""Settings of traces, read and told in Triton's words. The texts are those of Triton 2.51."""

import json
from typing import Any

import pytest

from naiad.config.proto import service_pb2
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, UnsupportedError
from naiad.protocol.trace_settings import changes_in_json, changes_in_message, document, message
from naiad.snapshots import TraceSettings


def _message(**settings: list[str]) -> Any:
    request = service_pb2.TraceSettingRequest()
    for name, values in settings.items():
        request.settings[name].value.extend(values)
    return request.settings


def test_settings_are_told_as_strings_in_tritons_order() -> None:
    assert document(TraceSettings()) == (
        b'{"trace_level":["OFF"],"trace_rate":"1000","trace_count":"-1","log_frequency":"0","trace_file":"",'
        b'"trace_mode":"triton"}'
    )


def test_opentelemetry_has_its_own_settings_and_no_file() -> None:
    settings = TraceSettings(
        levels=("TIMESTAMPS", "TENSORS"),
        rate=1,
        count=5,
        mode="opentelemetry",
        exporter=(("url", "http://x"), ("resource", "a=b"), ("resource", "c=d")),
    )
    assert document(settings) == (
        b'{"trace_level":["TIMESTAMPS","TENSORS"],"trace_rate":"1","trace_count":"5","trace_mode":"opentelemetry",'
        b'"url":"http://x","resource":"a=b","resource":"c=d"}'
    )
    told = service_pb2.TraceSettingResponse.FromString(message(settings)).settings
    assert {name: list(setting.value) for name, setting in told.items()} == {
        "trace_level": ["TIMESTAMPS", "TENSORS"],
        "trace_rate": ["1"],
        "trace_count": ["5"],
        "trace_mode": ["opentelemetry"],
        "url": ["http://x"],
        "resource": ["a=b", "c=d"],
    }


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({}, {}),
        ([], {}),
        (None, {}),
        ({"unknown": 1, "trace_mode": "opentelemetry"}, {}),
        ({"trace_rate": "5", "trace_count": "-1", "log_frequency": "0"}, {"rate": 5, "count": -1, "log_frequency": 0}),
        ({"trace_rate": None, "trace_level": None}, {"rate": None, "levels": None}),
        ({"trace_level": ["OFF"]}, {"levels": ()}),
        ({"trace_level": ["TENSORS", "TIMESTAMPS", "NOPE"]}, {"levels": ("TIMESTAMPS", "TENSORS")}),
        ({"trace_level": []}, {}),
        ({"trace_level": ["MAX", "off", "timestamps"]}, {}),
        ({"trace_rate": " \t+7x"}, {"rate": 7}),
        ({"trace_rate": "-1"}, {"rate": 2**32 - 1}),
        ({"trace_rate": "0x10"}, {"rate": 0}),
        ({"log_frequency": "-4"}, {"log_frequency": 2**32 - 4}),
        ({"trace_count": "2147483647"}, {"count": 2147483647}),
    ],
)
def test_changes_are_read_from_json(body: object, changes: dict[str, object]) -> None:
    assert changes_in_json(json.dumps(body).encode()) == changes


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ('{"trace_rate":5}', InternalError, "attempt to access JSON non-string as string"),
        ('{"trace_count":true}', InternalError, "attempt to access JSON non-string as string"),
        ('{"trace_level":"TENSORS"}', InternalError, "attempt to access JSON non-array as array"),
        ('{"trace_level":{}}', InternalError, "attempt to access JSON non-array as array"),
        ('{"trace_level":[1]}', InternalError, "attempt to access JSON non-string as string"),
        ('{"trace_rate":"x"}', InvalidArgumentError, "Unable to parse 'trace_rate', got: x"),
        ('{"trace_rate":""}', InvalidArgumentError, "Unable to parse 'trace_rate', got: "),
        ('{"trace_rate":"²"}', InvalidArgumentError, "Unable to parse 'trace_rate', got: ²"),
        (
            '{"log_frequency":"2147483648"}',
            InvalidArgumentError,
            "Unable to parse 'log_frequency', value is out of range [ 0, 4294967295 ], got: 2147483648",
        ),
        (
            '{"trace_rate":"4294967296"}',
            InvalidArgumentError,
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: 4294967296",
        ),
        (
            '{"trace_rate":"-5000000000"}',
            InvalidArgumentError,
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: -5000000000",
        ),
        (
            '{"trace_count":"2147483648"}',
            InvalidArgumentError,
            "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: 2147483648",
        ),
        (
            '{"trace_count":"-2"}',
            InvalidArgumentError,
            "Unable to parse 'trace_count'. Expecting value >= -1, got:-2",
        ),
        ('{"trace_level":["OFF","TENSORS"]}', InvalidArgumentError, "Expect only one trace level 'OFF' is specified"),
        ('{"trace_level":["OFF","OFF"]}', InvalidArgumentError, "Expect only one trace level 'OFF' is specified"),
        (
            '{"trace_rate":"x","trace_file":null}',
            UnsupportedError,
            "trace file location can not be updated through network protocol",
        ),
        ('{"log_frequency":"z","trace_rate":"x"}', InvalidArgumentError, "Unable to parse 'trace_rate', got: x"),
        ("", InternalError, "failed to parse the request JSON buffer: The document is empty. at 0"),
    ],
)
def test_what_is_wrong_in_json_is_refused(body: str, kind: type[NaiadError], text: str) -> None:
    with pytest.raises(kind) as error:
        changes_in_json(body.encode())
    assert str(error.value) == text


def test_a_number_of_any_length_is_out_of_range_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match="out of range"):
        changes_in_json(b'{"trace_rate":"%s"}' % (b"9" * 1_000_000))


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, {}),
        ({"unknown": ["1"], "trace_mode": ["a", "b"]}, {}),
        ({"trace_rate": ["5"], "trace_count": []}, {"rate": 5, "count": None}),
        ({"trace_level": []}, {"levels": None}),
        ({"trace_level": ["TENSORS"]}, {"levels": ("TENSORS",)}),
        ({"trace_level": ["OFF"]}, {"levels": ()}),
        ({"trace_level": ["NOPE"]}, {}),
    ],
)
def test_changes_are_read_from_a_message(settings: dict[str, list[str]], changes: dict[str, object]) -> None:
    assert changes_in_message(_message(**settings)) == changes


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"trace_rate": ["5", "6"]}, InvalidArgumentError, "expect only 1 value for 'trace_rate'"),
        (
            {"trace_count": ["-2"]},
            InvalidArgumentError,
            "Unable to parse 'trace_count'. Expecting value >= -1, got: -2",
        ),
        ({"log_frequency": ["x"]}, InvalidArgumentError, "Unable to parse 'log_frequency', got: x"),
        (
            {"trace_file": []},
            UnsupportedError,
            "trace file location can not be updated through network protocol",
        ),
        (
            {"trace_level": ["TENSORS", "OFF"]},
            InvalidArgumentError,
            "Expect only one trace level 'OFF' is specified",
        ),
    ],
)
def test_what_is_wrong_in_a_message_is_refused(
    settings: dict[str, list[str]], kind: type[NaiadError], text: str
) -> None:
    with pytest.raises(kind) as error:
        changes_in_message(_message(**settings))
    assert str(error.value) == text
