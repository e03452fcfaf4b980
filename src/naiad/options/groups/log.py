# SPDX-License-Identifier: Apache-2.0
"""What is logged, where, and in which form. May import `errors` and what lies beside this folder."""

from dataclasses import dataclass
from functools import partial

from naiad.options.flags import MAX_INT, Flag, option

_flag = partial(Flag, "Logging")


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The rows under the heading Logging."""

    log_verbose: int = option(0, _flag("Verbose level; 0 is off.", minimum=0, maximum=MAX_INT))
    log_info: bool = option(True, _flag("Log information."))
    log_warning: bool = option(True, _flag("Log warnings."))
    log_error: bool = option(True, _flag("Log errors."))
    log_format: str = option(
        "default",
        _flag(
            "Form of a log line: Triton's, Triton's with ISO 8601 times, or JSON objects with the ids of requests.",
            choices=("default", "ISO8601", "json"),
        ),
    )
    log_file: str = option("", _flag("File to append the log to; default: standard error.", path="file"))
