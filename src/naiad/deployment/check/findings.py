# SPDX-License-Identifier: Apache-2.0
"""What a check finds: a problem, how bad it is, the rule that saw it, and how the text should read.

May import `config`.
"""

from dataclasses import dataclass
from enum import Enum

from naiad.config.problems import Problem


class Severity(Enum):
    """How bad a finding is: whether the model, or its usual client, can work at all."""

    ERROR = "error"
    """The model is not served, or the client it was exported for cannot use it."""
    WARNING = "warning"
    """It works, and probably not as it was meant to."""
    NOTE = "note"
    """It works; good to know on another machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `rule` is a stable name; `corrected` is the text as it should read, empty where none can be told.

    `corrected` is protobuf text for a problem of config.pbtxt, a path or a command for one of files.
    """

    rule: str
    severity: Severity
    problem: Problem
    corrected: str = ""
