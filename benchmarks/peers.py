# SPDX-License-Identifier: Apache-2.0
"""The peers: other servers of models, here of the identity over JSON, each set up as its own documentation says.

Each lives in a virtual environment of its own, made in the cache the first time. What can be chosen is left as it is by
default, but the address and the logging: nobody logs single requests. Each is measured a second time with what it
offers for more throughput on small requests: no hand-over to another process (MLServer), more workers and a faster
queue (LitServe).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.contestants import Setting
from benchmarks.processes import ContestantError, ServerProcess, free_ports, running
from benchmarks.wrk import Exchange

NUMBERS = [number / 4 for number in range(16)]
"""The sixteen numbers that go to every server and have to come back."""

V2 = Exchange(
    path="/v2/models/identity/infer",
    body={"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, len(NUMBERS)], "data": NUMBERS}]},
    found=lambda answer: answer["outputs"][0]["data"],
    expected=NUMBERS,
)
"""The exchange with a server of the V2 protocol: Naiad, Triton, MLServer."""

_LITSERVE = Exchange("/predict", {"input": NUMBERS}, lambda answer: answer["output"], NUMBERS)

# MLServer 1.7.1 takes any uvloop, but with 0.22 or newer its worker processes do not start: there,
# get_event_loop() no longer makes the loop that they ask for.
_MLSERVER_REQUIREMENTS = ("mlserver==1.7.1", "uvloop==0.21.0")
_LITSERVE_REQUIREMENTS = ("litserve==0.2.19",)

# https://mlserver.readthedocs.io/en/stable/user-guide/custom.html
_MLSERVER_RUNTIME = """\
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Identity(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        array = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output(name="OUTPUT0", payload=array)
        return InferenceResponse(model_name=self.name, outputs=[output])
"""

# https://lightning.ai/docs/litserve/api-reference/litapi
_LITSERVE_SERVER = """\
import json
import sys

import litserve


class Identity(litserve.LitAPI):
    def setup(self, device):
        self.model = lambda numbers: numbers

    def decode_request(self, request):
        return request["input"]

    def predict(self, numbers):
        return self.model(numbers)

    def encode_response(self, numbers):
        return {"output": numbers}


if __name__ == "__main__":
    server = litserve.LitServer(Identity(), **json.loads(sys.argv[2]))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to compare with: its name and version, how to run it, and what to ask it."""

    name: str
    run: Callable[[Setting], AbstractContextManager[ServerProcess]]
    exchange: Exchange


@contextmanager
def _mlserver(options: Mapping[str, object], setting: Setting) -> Iterator[ServerProcess]:
    programs = _environment(setting.cache, _MLSERVER_REQUIREMENTS)
    http, grpc, metrics = free_ports(3)
    settings = {"debug": False, "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    folder = setting.scratch / f"mlserver-{http}"
    folder.mkdir()
    (folder / "identity.py").write_text(_MLSERVER_RUNTIME)
    (folder / "model-settings.json").write_text(json.dumps({"name": "identity", "implementation": "identity.Identity"}))
    (folder / "settings.json").write_text(json.dumps({**settings, **options}))
    with running([str(programs / "mlserver"), "start", "."], http, "/v2/models/identity/ready", folder) as server:
        yield server


@contextmanager
def _litserve(options: Mapping[str, object], setting: Setting) -> Iterator[ServerProcess]:
    programs = _environment(setting.cache, _LITSERVE_REQUIREMENTS)
    (port,) = free_ports(1)
    folder = setting.scratch / f"litserve-{port}"
    folder.mkdir()
    (folder / "server.py").write_text(_LITSERVE_SERVER)
    command = [str(programs / "python"), "server.py", str(port), json.dumps(options)]
    with running(command, port, "/health", folder) as server:
        yield server


def _environment(cache: Path, requirements: Sequence[str]) -> Path:
    """Return the folder of the programs of a virtual environment with `requirements`, made if it isn't there yet.

    Raises:
        ContestantError: pip could not install them; it has said why.
    """
    folder = cache / "peers" / requirements[0].replace("==", "-")
    programs, record = folder / "bin", folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if record.exists() and record.read_text() == wanted:
        return programs
    click.echo(f"{', '.join(requirements)}: installing with all they need into {folder}")
    make = [sys.executable, "-m", "venv", "--clear", str(folder)]
    install = [str(programs / "python"), "-m", "pip", "install", "--progress-bar=off", *requirements]
    for command in (make, install):
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - ours
            raise ContestantError(f"{' '.join(command)} failed, see above")
    record.write_text(wanted)
    return programs


_CORES = os.cpu_count() or 1

ALL = (
    Peer("MLServer 1.7.1: 1 worker process (default)", partial(_mlserver, {}), V2),
    Peer("MLServer 1.7.1: no worker process", partial(_mlserver, {"parallel_workers": 0}), V2),
    Peer("LitServe 0.2.19: 1 worker (default)", partial(_litserve, {}), _LITSERVE),
    Peer(
        f"LitServe 0.2.19: {_CORES} workers, fast_queue",
        partial(_litserve, {"workers_per_device": _CORES, "fast_queue": True}),
        _LITSERVE,
    ),
)
"""Every peer, as by default and with what it offers for more throughput."""
