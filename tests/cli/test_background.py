# SPDX-License-Identifier: Apache-2.0
"""A launched server is waited for, but not for ever."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from naiad.cli.background import Background, end, wait_until_ready
from naiad.errors import UnavailableError


@pytest.mark.usefixtures("state")
def test_a_server_that_is_never_ready_is_waited_for_so_long_and_told_where_to_look(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    started = Background(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE), log)
    pid = started.process.pid
    try:
        text = rf"not ready after 0.1 s, .* as process {pid}; its output, in {re.escape(str(log))}, .*: kill {pid}$"
        with pytest.raises(UnavailableError, match=text):
            wait_until_ready(started, limit_s=0.1)
        assert started.process.poll() is None
    finally:
        end(started)
        assert started.process.stdin is not None
        started.process.stdin.close()
