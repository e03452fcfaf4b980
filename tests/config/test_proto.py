# SPDX-License-Identifier: Apache-2.0
"""Triton's messages come without grpc, and are the same classes that tritonclient's gRPC package has.

Each case needs an interpreter of its own, because an import happens once.
"""

import subprocess
import sys

import pytest

_NAME = "tritonclient.grpc.model_config_pb2"


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_config_is_loaded_without_grpc() -> None:
    code = "import sys, naiad.config.proto as p; print('grpc' in sys.modules, 'tritonclient.grpc' in sys.modules)"
    assert _run(code) == "False False"


@pytest.mark.parametrize(
    "imports",
    [
        "import naiad.config.proto as p; import tritonclient.grpc as g",
        "import tritonclient.grpc as g; import naiad.config.proto as p",
    ],
    ids=["naiad first", "tritonclient first"],
)
def test_both_import_orders_share_one_module(imports: str) -> None:
    code = f"""
import sys
{imports}
assert g.model_config_pb2 is p.model_config_pb2 is sys.modules["{_NAME}"]
assert g.service_pb2 is p.service_pb2 is sys.modules["tritonclient.grpc.service_pb2"]
import tritonclient.grpc.service_pb2 as again
import tritonclient.grpc.service_pb2_grpc
assert again is p.service_pb2
assert type(p.service_pb2.ModelConfigResponse(config=p.ModelConfig()).config) is p.ModelConfig
response = g.service_pb2.ModelConfigResponse(config=p.ModelConfig(name="x"))
assert type(response.config) is p.ModelConfig
print(response.config.name)
"""
    assert _run(code) == "x"


def test_other_threads_never_see_a_stand_in_for_the_package() -> None:
    code = """
import sys, threading
seen = []
find = sys.setswitchinterval(1e-6)
stop = threading.Event()
def look():
    while not stop.is_set():
        seen.append("tritonclient.grpc" in sys.modules)
thread = threading.Thread(target=look); thread.start()
import naiad.config.proto as p
stop.set(); thread.join()
import builtins
print(any(seen), p.service_pb2.__builtins__ is vars(builtins) or p.service_pb2.__builtins__ is builtins)
"""
    assert _run(code) == "False True"


def test_missing_tritonclient_is_named_with_the_command_that_installs_it() -> None:
    code = """
import sys, importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "tritonclient" else find(name, *rest)
try:
    import naiad.config.proto
except ModuleNotFoundError as error:
    print(error)
"""
    assert _run(code) == "tritonclient is not installed, expected at least 2.68; run: pip install 'tritonclient[grpc]'"
