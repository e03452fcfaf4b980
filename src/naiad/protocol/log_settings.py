# SPDX-License-Identifier: Apache-2.0
"""Triton's logging extension: `LogSettings` ⇄ JSON and protobuf.

Triton takes the settings of a request one after the other, in the order below: when one is wrong, those before it have
been changed. So readers here yield the settings after each change, and raise when they come to a wrong one.
May import `errors`, `snapshots`, protobuf, and its neighbours `rest` and `grpc`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from naiad.config.proto import service_pb2
from naiad.errors import InvalidArgumentError, UnavailableError, UnsupportedError
from naiad.protocol.grpc import documents as rpc_documents
from naiad.protocol.rest import json_text
from naiad.snapshots import LogSettings

FORMATS = ("default", "ISO8601", "json")
"""Triton's formats, and Naiad's own."""

_SWITCHES = ("info", "warning", "error")
_MAX_UNSIGNED = 2**64 - 1


def document(settings: LogSettings) -> dict[str, Any]:
    """Return the JSON document of the settings."""
    return {
        "log_file": settings.file,
        "log_info": settings.info,
        "log_warning": settings.warning,
        "log_error": settings.error,
        "log_verbose_level": settings.verbose_level,
        "log_format": settings.format,
    }


def changes_in_json(body: bytes | memoryview, settings: LogSettings) -> Iterator[LogSettings]:
    """Yield `settings` after each change that the body of `POST /v2/logging` asks for.

    Members that are null or unknown are ignored, as is a body that is no object.

    Raises:
        InternalError: not JSON, or a value of another type.
        UnsupportedError: it names a file.
        UnavailableError: no format of that name (Triton's texts and classes).
    """
    wanted = json_text.loads(body)
    if not isinstance(wanted, dict):
        return
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if "log_file" in wanted:
        raise _file_is_fixed()
    for name in _SWITCHES:
        if f"log_{name}" in wanted:
            settings = replace(settings, **{name: _typed(wanted[f"log_{name}"], bool, "boolean")})
            yield settings
    if "log_verbose_level" in wanted:
        level = _typed(wanted["log_verbose_level"], int, "unsigned-integer")
        if not 0 <= level <= _MAX_UNSIGNED:
            raise json_text.access_error("", "", level, "unsigned-integer")
        settings = replace(settings, verbose_level=_verbose_level(level))
        yield settings
    if "log_format" in wanted:
        name = _typed(wanted["log_format"], str, "string")
        if name not in FORMATS:
            raise UnavailableError(f"invalid argument for --log_format, got: {name}")
        yield replace(settings, format=name)


def changes_in_message(message: memoryview, settings: LogSettings) -> Iterator[LogSettings]:
    """Yield `settings` after each change that a `LogSettingsRequest` asks for; unknown ones are ignored.

    Raises:
        InternalError: no such message.
        UnsupportedError: it names a file.
        InvalidArgumentError: a value of another type, or no format of that name (Triton's texts).
    """
    wanted = rpc_documents.parse(service_pb2.LogSettingsRequest, message).settings
    if "log_file" in wanted:
        raise _file_is_fixed()
    for name in _SWITCHES:
        if f"log_{name}" in wanted:
            value = _parameter(wanted, f"log_{name}", "bool_param", "boolean")
            settings = replace(settings, **{name: value})
            yield settings
    if "log_verbose_level" in wanted:
        level = _parameter(wanted, "log_verbose_level", "uint32_param", "int32")
        settings = replace(settings, verbose_level=_verbose_level(level))
        yield settings
    if "log_format" in wanted:
        name = _parameter(wanted, "log_format", "string_param", "string")
        if name not in FORMATS:
            raise InvalidArgumentError(f"invalid argument for log_format, got: {name}")
        yield replace(settings, format=name)


def message(settings: LogSettings) -> bytes:
    """Write a `LogSettingsResponse`."""
    response = service_pb2.LogSettingsResponse()
    for name, value in document(settings).items():
        field = (
            "uint32_param" if name == "log_verbose_level" else f"{type(value).__name__.replace('str', 'string')}_param"
        )
        setattr(response.settings[name], field, value)
    return response.SerializeToString()


def _verbose_level(number: int) -> int:
    """Return the level that Triton, which keeps it in 32 bits, makes of a number; a negative one is none."""
    low = number & 0xFFFFFFFF
    return low if low < 2**31 else 0


def _typed(value: Any, kind: type, name: str) -> Any:  # noqa: ANN401 - of that kind
    if type(value) is not kind:
        raise json_text.access_error("", "", value, name)
    return value


def _parameter(wanted: Any, setting: str, field: str, name: str) -> Any:  # noqa: ANN401 - protobuf's map, and what is in it
    value = wanted[setting]
    if not value.HasField(field):
        raise InvalidArgumentError(f"expect {name} for '{setting}'")
    return getattr(value, field)


def _file_is_fixed() -> UnsupportedError:
    return UnsupportedError("log file location can not be updated through network protocol")
