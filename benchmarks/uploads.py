# SPDX-License-Identifier: Apache-2.0
"""How soon a server tells its health while it reads large JSON requests: a client that asks every few milliseconds.

The client is a process of its own (`python -m benchmarks.uploads PORT`), so that nothing but the server holds it up: it
asks until its input ends, then prints its latencies in seconds as a JSON array.
"""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.processes import ServerProcess

_PAUSE_S = 0.005
_BODY_BYTES = 64_000_000
_HEALTH = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n"


def measure(server: ServerProcess, model: str, uploads: int) -> Sequence[float]:
    """Upload 64 MB of JSON several times, one after the other; return the latencies of health checks meanwhile, in s.

    The model is an identity of FP32 [-1, -1], `INPUT0` → `OUTPUT0`, and answers in binary.
    """
    number = "0.12345,"
    elements = _BODY_BYTES // len(number) - 100
    data = (number * elements)[:-1]
    entry = f'{{"name":"INPUT0","datatype":"FP32","shape":[1,{elements}],"data":[{data}]}}'
    body = f'{{"inputs":[{entry}],"parameters":{{"binary_data_output":true}}}}'.encode()
    with _asking(server) as latencies_s:
        for _ in range(uploads):
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("POST", f"/v2/models/{model}/infer", body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the upload was answered {answer.status}: {text[:500]!r}")
            connection.close()
    return latencies_s


@contextmanager
def _asking(server: ServerProcess) -> Iterator[list[float]]:
    """Ask during the block; the list that is yielded is filled at its end."""
    command = [sys.executable, "-m", "benchmarks.uploads", str(server.port)]
    latencies_s: list[float] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:  # noqa: S603 - ours
        assert client.stdout is not None  # noqa: S101 - a pipe was asked for
        client.stdout.readline()  # it has begun
        try:
            yield latencies_s
        finally:
            told, _ = client.communicate()
        latencies_s += json.loads(told)


def _ask(port: int) -> Sequence[float]:
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    latencies_s: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not over.wait(_PAUSE_S):
            started_s = time.perf_counter()
            client.sendall(_HEALTH)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("a health check was not answered 200")
            latencies_s.append(time.perf_counter() - started_s)
            if len(latencies_s) == 1:
                print("asking", flush=True)  # noqa: T201 - the parent waits for it
    return latencies_s


if __name__ == "__main__":
    print(json.dumps(_ask(int(sys.argv[1]))))  # noqa: T201 - this is how the parent gets them
