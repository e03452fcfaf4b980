# SPDX-License-Identifier: Apache-2.0
"""Reading a config's `parameters`: all values there are strings. May import `config` and `errors`."""

from collections.abc import Mapping

from naiad.config.proto import ModelConfig
from naiad.errors import InvalidArgumentError


def string_parameters(config: ModelConfig) -> dict[str, str]:
    """Return the config's parameters, key → string value."""
    return {key: parameter.string_value for key, parameter in config.parameters.items()}


def whole_number(key: str, value: str) -> int:
    """Return a number that is not negative.

    Raises:
        InvalidArgumentError: `value` is no such number.
    """
    if not (value.isascii() and value.isdecimal()):
        raise InvalidArgumentError(f"parameter '{key}' is '{value}', expected a whole number, 0 or more")
    return int(value)


def choice(key: str, value: str, choices: Mapping[str, str]) -> str:
    """Return what `value` stands for: one of the keys of `choices`, or of their meanings.

    Raises:
        InvalidArgumentError: `value` is neither.
    """
    if value in choices.values():
        return value
    if value not in choices:
        meanings = ", ".join(name if name == meaning else f"{name} ({meaning})" for name, meaning in choices.items())
        raise InvalidArgumentError(f"parameter '{key}' is '{value}', expected one of: {meanings}")
    return choices[value]


def switch(key: str, value: str) -> bool:
    """Return whether `value` is "1".

    Raises:
        InvalidArgumentError: `value` is neither "0" nor "1".
    """
    return choice(key, value, {"0": "0", "1": "1"}) == "1"
