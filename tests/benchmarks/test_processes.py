# SPDX-License-Identifier: Apache-2.0
"""How servers under measurement start and end."""

import os
import select
import sys
from pathlib import Path

import pytest

from benchmarks.processes import ContestantError, free_ports, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers are measured through Linux's /proc")

# Answers 200 to everything, ends at once when told to, and leaves a child behind that would go on for a minute.
SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

child = subprocess.Popen(["sleep", "60"])
open("child", "w").write(str(child.pid))
HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def test_a_server_is_stopped_with_the_children_that_it_leaves_behind(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with running([sys.executable, "-c", SERVER, str(port)], port, "/", tmp_path) as server:
        child = os.pidfd_open(int((tmp_path / "child").read_text()))
        assert server.address == f"127.0.0.1:{port}"
        assert 0 < server.ready_s < 120
        assert server.resident_bytes() > 2**20
        assert not select.select([child], [], [], 0)[0]
    assert not Path(f"/proc/{server.pid}").exists()
    assert select.select([child], [], [], 5)[0], "the child goes on"
    os.close(child)


def test_a_server_that_ends_before_it_is_ready_is_an_error_with_its_output(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = [sys.executable, "-c", "raise SystemExit('no model here')"]
    with pytest.raises(ContestantError, match="no model here"), running(command, port, "/", tmp_path):
        pytest.fail("it was not ready")
