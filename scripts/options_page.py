# SPDX-License-Identifier: Apache-2.0
"""Writes docs/options.md, the list of server options, from the table in `naiad.options`."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from naiad.options import DEFAULTS, FIELD_FLAGS, LATER_FLAGS, flag_name, value_range

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"

_HEAD = """\
# Options of `naiad serve`

Flags are Triton's, in Triton's syntax: `--flag=value` or `--flag value`, booleans as `true`, `false`, `1` or `0` in any
case. Each option has an environment variable too: `NAIAD_SERVE_` and the flag in capitals, with underscores for dashes;
the values of a repeatable one are separated by `;`. A flag on the command line wins. In Python, `naiad.Server` takes
the same names with underscores, and values or their texts. `scripts/options_page.py` writes this page.
"""

_LATER = """
## Flags of Triton that are not available yet

They are known, and refused by name (exit code 1) instead of being ignored, unless their value asks for nothing.

| feature | flags | accepted values |
|---|---|---|
"""


def page() -> str:
    """Return the page's text."""
    return "".join((_HEAD, *_sections(), _LATER, *_later_rows()))


def _sections() -> Iterator[str]:
    for group, rows in groupby(FIELD_FLAGS.items(), lambda item: item[1].group):
        yield f"\n## {group}\n\n| flag | default | what it does | values |\n|---|---|---|---|\n"
        for field, row in rows:
            flags = ", ".join(f"`--{name}`" for name in (flag_name(field), *row.aliases))
            default = "required" if row.required else _value(DEFAULTS[field])
            text = row.help if row.tritons else f"{row.help} Naiad's own."
            yield f"| {flags} | {default} | {text} | {_values(field)} |\n"


def _values(field: str) -> str:
    row, default = FIELD_FLAGS[field], DEFAULTS[field]
    if row.switch:
        return "none: giving it turns it on"
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    if row.minimum is not None:
        return value_range(row)
    kind = "`true`, `false`" if isinstance(default, bool) else row.path or "text"
    return f"{kind}, repeatable" if row.repeatable else kind


def _value(default: object) -> str:
    if default in ("", ()):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _later_rows() -> Iterator[str]:
    features: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for flag in LATER_FLAGS.values():
        features.setdefault((flag.feature, flag.accepted), []).append(f"`--{flag.name}`")
    for (feature, accepted), names in features.items():
        values = ", ".join(f"`{value}`" if value else "empty" for value in accepted)
        yield f"| {feature} | {', '.join(names)} | {values} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
