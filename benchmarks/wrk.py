# SPDX-License-Identifier: Apache-2.0
"""Load by `wrk` (https://github.com/wg/wrk): plain HTTP/1.1 with kept connections, for servers of any protocol."""

import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import ContestantError, ServerProcess
from benchmarks.results import Load

# It has no functions that run with each request, so that Lua costs nothing while the load lasts.
_SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function init(args)
  wrk.body = args[1]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with a JSON body to send again and again, and how to find in its answer the numbers that must be there.

    `found` is given the parsed answer.
    """

    path: str
    body: object
    found: Callable[[Any], object]
    expected: object


def measure(tool: Path, server: ServerProcess, exchange: Exchange, *, clients: int, seconds: float) -> Load:
    """Keep `clients` connections busy for `seconds`, rounded to whole ones; look at an answer before and after.

    Raises:
        ContestantError: wrk failed, an answer was wrong, or a request failed; the text says which.
    """
    url = f"http://{server.address}{exchange.path}"
    body = json.dumps(exchange.body, separators=(",", ":"))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(_SCRIPT)
        command = [str(tool), "--threads=1", f"--connections={clients}", f"--duration={max(1, round(seconds))}s"]
        command += [f"--script={script}", url, "--", body]
        _check(url, body, exchange)
        cpu_before_s = server.cpu_s()
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        cpu_s = server.cpu_s() - cpu_before_s
        _check(url, body, exchange)
    if done.returncode:
        raise ContestantError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return parse(done.stdout, cpu_s)


def parse(output: str, cpu_s: float) -> Load:
    """Return what the last line of wrk's output, the script's own, says; the server used `cpu_s` meanwhile.

    Raises:
        ContestantError: a request failed, or none was answered.
    """
    report = json.loads(output.splitlines()[-1])
    if report["errors"] or not report["requests"]:
        raise ContestantError(f"{report['errors']} requests failed, {report['requests']} were answered:\n{output}")
    return Load(
        rate=report["requests"] / report["duration_us"] * 1e6,
        p50_us=report["p50_us"],
        p99_us=report["p99_us"],
        cpu_us=cpu_s / report["requests"] * 1e6,
    )


def _check(url: str, body: str, exchange: Exchange) -> None:
    """Ask once and compare the answer's numbers."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http to this machine
        answer = json.load(response)
    if exchange.found(answer) != exchange.expected:
        raise ContestantError(f"{url} answered {answer}, expected {exchange.expected}")
