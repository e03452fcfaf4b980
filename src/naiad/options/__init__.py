# SPDX-License-Identifier: Apache-2.0
"""What can be told to a server at start.

`table` is the one table of options, the dataclass `ServerOptions`, made of `groups`; each of its rows has a flag
(`flags`), and some have values with a form of their own (`values`, `traces`). `parsing` reads fields from flags and
environment variables. `later` holds the flags of Triton's that are refused, because this version cannot do what they
ask for. Other rooms import from here.
May import `errors`, nothing else.
"""

from naiad.options.flags import Flag, flag_name, value_range
from naiad.options.later import LATER_FLAGS, LaterFlag, refuse_later_flag
from naiad.options.parsing import ENVIRONMENT_LIST_SEPARATOR, environment_name, given_value, parse_value
from naiad.options.table import DEFAULTS, FIELD_FLAGS, ServerOptions
from naiad.options.traces import TraceOptions
from naiad.options.values import (
    RESTRICTED_CATEGORIES,
    BackendOption,
    MetricsSettings,
    OptionValue,
    Quantile,
    RestrictedGroup,
)

__all__ = [
    "DEFAULTS",
    "ENVIRONMENT_LIST_SEPARATOR",
    "FIELD_FLAGS",
    "LATER_FLAGS",
    "RESTRICTED_CATEGORIES",
    "BackendOption",
    "Flag",
    "LaterFlag",
    "MetricsSettings",
    "OptionValue",
    "Quantile",
    "RestrictedGroup",
    "ServerOptions",
    "TraceOptions",
    "environment_name",
    "flag_name",
    "given_value",
    "parse_value",
    "refuse_later_flag",
    "value_range",
]
