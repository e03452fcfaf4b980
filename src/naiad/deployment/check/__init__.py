# SPDX-License-Identifier: Apache-2.0
"""Explaining a repository offline: what will be served, and what is wrong, with the text as it should read.

`checking` takes the models through the steps of a load. `layout` (with `contents`), `graph`, `machine` and
`ultralytics` are the rules, which look at a `Subject` and yield `Finding`s; `corrections` puts right what `config` has
found; `report` is what comes of it.
"""

from naiad.deployment.check.checking import check
from naiad.deployment.check.findings import RULES, Finding, Severity
from naiad.deployment.check.report import CheckedModel, Report, ServedVersion

__all__ = ["RULES", "CheckedModel", "Finding", "Report", "ServedVersion", "Severity", "check"]
