# SPDX-License-Identifier: Apache-2.0
import runpy
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "options_page.py"


def test_the_page_of_options_is_that_of_the_table() -> None:
    """A change of `naiad.options` must be followed by a run of scripts/options_page.py."""
    script = runpy.run_path(str(SCRIPT))
    assert script["PAGE"].read_text(encoding="utf-8") == script["page"]()
