# SPDX-License-Identifier: Apache-2.0
"""The logging extension: Triton's names, types, order and texts."""

import json
from collections.abc import Mapping

import pytest

from naiad.config.proto import service_pb2 as pb
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, UnavailableError, UnsupportedError
from naiad.protocol.log_settings import changes_in_json, changes_in_message, document, message
from naiad.snapshots import LogSettings


def request(**settings: tuple[str, object]) -> memoryview:
    made = pb.LogSettingsRequest()
    for name, (field, value) in settings.items():
        if field:
            setattr(made.settings[name], field, value)
        else:
            made.settings[name].SetInParent()
    return memoryview(made.SerializeToString())


def test_the_document_has_tritons_names_and_order() -> None:
    assert json.dumps(document(LogSettings())) == (
        '{"log_file": "", "log_info": true, "log_warning": true, "log_error": true, "log_verbose_level": 0, '
        '"log_format": "default"}'
    )


def test_the_message_has_tritons_types() -> None:
    told = pb.LogSettingsResponse.FromString(message(LogSettings(file="f", verbose_level=2)))
    assert {name: value.WhichOneof("parameter_choice") for name, value in told.settings.items()} == {
        "log_file": "string_param",
        "log_info": "bool_param",
        "log_warning": "bool_param",
        "log_error": "bool_param",
        "log_verbose_level": "uint32_param",
        "log_format": "string_param",
    }
    assert told.settings["log_verbose_level"].uint32_param == 2
    assert told.settings["log_file"].string_param == "f"


def test_json_changes_what_it_names() -> None:
    body = b'{"log_info": false, "log_verbose_level": 3, "log_format": "json", "log_error": null, "other": 1}'
    (*_, last) = changes_in_json(body, LogSettings(warning=False))
    assert last == LogSettings(info=False, warning=False, verbose_level=3, format="json")


def test_a_message_changes_what_it_names() -> None:
    asked = request(log_error=("bool_param", False), log_format=("string_param", "ISO8601"), other=("bool_param", True))
    (*_, last) = changes_in_message(asked, LogSettings())
    assert last == LogSettings(error=False, format="ISO8601")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'"x"', b'{"log_file": null}'])
def test_json_may_ask_for_nothing(body: bytes) -> None:
    assert list(changes_in_json(body, LogSettings())) == []


@pytest.mark.parametrize(
    ("number", "level"), [(1, 1), (2**31 - 1, 2**31 - 1), (2**31, 0), (2**32, 0), (2**32 + 1, 1), (2**64 - 1, 0)]
)
def test_a_verbose_level_has_tritons_32_bits(number: int, level: int) -> None:
    (changed,) = changes_in_json(b'{"log_verbose_level": %d}' % number, LogSettings())
    assert changed.verbose_level == level


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"", InternalError, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b'{"log_info": "true"}', InternalError, "attempt to access JSON non-boolean as boolean"),
        (b'{"log_warning": 1}', InternalError, "attempt to access JSON non-boolean as boolean"),
        (
            b'{"log_verbose_level": -1}',
            InternalError,
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            b'{"log_verbose_level": true}',
            InternalError,
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            b'{"log_verbose_level": 18446744073709551616}',
            InternalError,
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (b'{"log_format": 5}', InternalError, "attempt to access JSON non-string as string"),
        (b'{"log_format": "iso8601"}', UnavailableError, "invalid argument for --log_format, got: iso8601"),
        (b'{"log_file": 5}', UnsupportedError, "log file location can not be updated through network protocol"),
    ],
)
def test_wrong_json_has_tritons_text(body: bytes, kind: type[NaiadError], text: str) -> None:
    with pytest.raises(kind) as caught:
        list(changes_in_json(body, LogSettings()))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"log_info": ("string_param", "x")}, InvalidArgumentError, "expect boolean for 'log_info'"),
        ({"log_error": ("", None)}, InvalidArgumentError, "expect boolean for 'log_error'"),
        ({"log_verbose_level": ("bool_param", True)}, InvalidArgumentError, "expect int32 for 'log_verbose_level'"),
        ({"log_format": ("bool_param", True)}, InvalidArgumentError, "expect string for 'log_format'"),
        ({"log_format": ("string_param", "bad")}, InvalidArgumentError, "invalid argument for log_format, got: bad"),
        (
            {"log_file": ("", None)},
            UnsupportedError,
            "log file location can not be updated through network protocol",
        ),
    ],
)
def test_a_wrong_message_has_tritons_text(
    settings: Mapping[str, tuple[str, object]], kind: type[NaiadError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        list(changes_in_message(request(**settings), LogSettings()))
    assert str(caught.value) == text


def test_what_comes_before_a_wrong_setting_is_changed() -> None:
    changes = changes_in_json(b'{"log_format": "bad", "log_verbose_level": 1}', LogSettings())
    assert next(changes) == LogSettings(verbose_level=1)
    with pytest.raises(UnavailableError):
        next(changes)
