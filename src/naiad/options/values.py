# SPDX-License-Identifier: Apache-2.0
"""Values of options that are more than a text, a number or a boolean, and how each is read from its text.

No message repeats the value of a `RestrictedGroup`, which is a secret. May import `errors` and `flags`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from naiad.errors import InvalidArgumentError
from naiad.options.flags import flag_name

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
"""How Triton spells booleans, in any case."""

RESTRICTED_CATEGORIES = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
"""Triton's categories of what a client may ask for."""

RESTRICTED_FEATURES = {"http_restricted_api": "api", "grpc_restricted_protocol": "protocol"}
"""Field → what Triton calls that which it restricts."""

_LATENCIES = ("counter_latencies", "histogram_latencies", "summary_latencies")
_LEAST_ERROR = 0.0001
"""A tenth of the smallest of Triton's defaults; a smaller one would keep a lot of numbers."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_TAKEN_BACK = re.compile(r"\A\(\?([ims]*-[ims]+)\)(.*)\Z", re.DOTALL)


class BackendOption(NamedTuple):
    """One `--backend-config`; an empty `backend` means every backend."""

    backend: str
    key: str
    value: str


class Quantile(NamedTuple):
    """A quantile of a summary, 0 to 1, and by how much of the count its rank may be off."""

    quantile: float
    error: float


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What all `--metrics-config` together ask for; the defaults are Triton's.

    `counter_latencies` are the five cumulative durations of each model, `histogram_latencies` and `summary_latencies`
    their distributions.
    """

    counter_latencies: bool = True
    histogram_latencies: bool = False
    summary_latencies: bool = False
    summary_quantiles: tuple[Quantile, ...] = (
        Quantile(0.5, 0.05),
        Quantile(0.9, 0.01),
        Quantile(0.95, 0.001),
        Quantile(0.99, 0.001),
        Quantile(0.999, 0.001),
    )


class RestrictedGroup(NamedTuple):
    """One `--http-restricted-api` or `--grpc-restricted-protocol`: `categories` open to who sends `value` as `key`."""

    categories: tuple[str, ...]
    key: str
    value: str


OptionValue = str | int | bool | BackendOption | RestrictedGroup
"""What one flag gives: the value of an option, or one element of a repeatable one."""


def parse_backend_option(text: str) -> BackendOption:
    """Read `name,key=value`, or `,key=value` and `key=value` for every backend; the value may hold commas."""
    setting, equals, value = text.partition("=")
    backend, comma, key = setting.partition(",")
    if not comma:
        backend, key = "", setting
    if not equals or not key.strip():
        raise InvalidArgumentError(
            f"--backend-config expects NAME,KEY=VALUE, or KEY=VALUE for every backend, got '{text}'"
        )
    return BackendOption(backend.strip(), key.strip(), value)


def parse_name_pattern(field_name: str, text: str) -> re.Pattern[bytes] | None:
    """Read a regular expression for the names of headers; empty is None.

    It ignores case. Triton's are RE2's, in which `(?-i)` at the beginning takes that back for all that follows.

    Raises:
        InvalidArgumentError: it is none.
    """
    if not text:
        return None
    try:
        return re.compile(_TAKEN_BACK.sub(r"(?\1:\2)", text).encode(), re.IGNORECASE)
    except (re.error, UnicodeEncodeError) as error:
        raise InvalidArgumentError(
            f"--{flag_name(field_name)}={text}: no regular expression: {error}; such as ^(traceparent|x-request-id)$"
        ) from None


def parse_metrics_settings(pairs: tuple[str, ...]) -> MetricsSettings:
    """Read all `--metrics-config` together.

    Raises:
        InvalidArgumentError: one is wrong.
    """
    given: dict[str, bool | tuple[Quantile, ...]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if name == "summary_quantiles" and equals:
            given[name] = tuple(_quantile(one) for one in text.split(","))
        elif name in _LATENCIES and text.lower() in BOOLEANS:
            given[name] = BOOLEANS[text.lower()]
        else:
            raise InvalidArgumentError(
                f"--metrics-config={pair}: expected one of {', '.join(_LATENCIES)} with =true or =false, or "
                "summary_quantiles=0.5:0.05,0.99:0.001"
            )
    return MetricsSettings(**given)  # type: ignore[arg-type]  # each has its own type


def _quantile(text: str) -> Quantile:
    quantile, colon, error = text.partition(":")
    try:
        made = Quantile(float(quantile), float(error))
    except ValueError:
        made = None
    if not colon or made is None or not (0 <= made.quantile <= 1 and _LEAST_ERROR <= made.error <= 1):
        raise InvalidArgumentError(
            f"--metrics-config=summary_quantiles: expected QUANTILE:ERROR, a number from 0 to 1 and one from "
            f"{_LEAST_ERROR} to 1, got '{text}'; such as 0.99:0.001"
        )
    return made


def parse_restricted_group(field_name: str, text: str) -> RestrictedGroup:
    """Read `category,category:key=value`; no message repeats the value, which is a secret."""
    categories, colon, pair = text.partition(":")
    key, equals, value = pair.partition("=")
    group = RestrictedGroup(tuple(one.strip() for one in categories.split(",")), key.strip(), value.strip())
    if not colon or not equals or not _HEADER_NAME.fullmatch(group.key) or not _HEADER_VALUE.fullmatch(group.value):
        raise InvalidArgumentError(
            f"--{flag_name(field_name)} expects CATEGORY,CATEGORY:HEADER=VALUE with a header's name and a value of "
            f"printable ASCII, got something else for '{categories.partition('=')[0]}'"
        )
    check_groups(field_name, (group,))
    return group


def check_groups(field_name: str, groups: Iterable[RestrictedGroup]) -> None:
    """Check that every category exists and stands in one group only; the texts are Triton's."""
    feature = RESTRICTED_FEATURES[field_name]
    seen: set[str] = set()
    for category in (category for group in groups for category in group.categories):
        if category not in RESTRICTED_CATEGORIES:
            raise InvalidArgumentError(
                f"unknown restricted {feature} '{category}'; --{flag_name(field_name)} expects some of "
                f"{', '.join(RESTRICTED_CATEGORIES)}"
            )
        if category in seen:
            raise InvalidArgumentError(
                f"restricted {feature} '{category}' can not be specified in multiple config groups; "
                f"name it in one --{flag_name(field_name)} only"
            )
        seen.add(category)
