# SPDX-License-Identifier: Apache-2.0
"""The examples of README.md and docs/clients.md do what the pages say."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.exports import Exports
from tests.e2e.serving import Serving, serving

ROOT = Path(__file__).resolve().parents[2]


def examples(page: str, language: str) -> dict[str, str]:
    """Return a page's blocks in a language by the heading above, the second one below it with a number behind."""
    found: dict[str, str] = {}
    heading = ""
    text = (ROOT / page).read_text(encoding="utf-8")
    for title, kind, block in re.findall(r"^## (.+?)$|^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        if title:
            heading = title
        elif kind == language:
            number = 1 + sum(name.startswith(heading) for name in found)
            found[heading if number == 1 else f"{heading} {number}"] = block
    return found


SHELL = examples("docs/clients.md", "")
PYTHON = examples("docs/clients.md", "python") | examples("README.md", "python")
SETTING_UP, _, FLAGS = SHELL["A model to try with"].rpartition("naiad serve --model-repository=models")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, exports: Exports, bus: str) -> Path:
    """The reader's folder: with the models that the page makes, a bare YOLO, and a picture."""
    made = tmp_path_factory.mktemp("reader")
    subprocess.run(["bash", "-ec", SETTING_UP], cwd=made, check=True)
    version = made / "models" / "yolo" / "1"
    version.mkdir(parents=True)
    shutil.copy(exports.random("detect", is_dynamic=True).path, version / "model.onnx")
    shutil.copy(bus, made)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    """The server that the page starts, on ports of its own."""
    with serving(folder / "models", log=folder / "log", flags=tuple(FLAGS.split())) as running:
        yield running


def run(command: list[str], text: str, server: Serving, folder: Path) -> str:
    """Run an example against the server's ports; return what it printed."""
    text = text.replace("localhost:8000", server.http).replace("localhost:8001", server.grpc)
    # curl answers an error like anything else, unless it is told to fail.
    text = text.replace("curl ", "curl --fail-with-body --silent --show-error ")
    done = subprocess.run(
        [*command, text], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PYTHON)
def test_an_example_in_python_prints_what_its_comments_say(name: str, server: Serving, folder: Path) -> None:
    promised = " ".join(re.findall(r"print\(.*\)  # (.+)$", PYTHON[name], flags=re.MULTILINE))
    printed = run([sys.executable, "-c"], PYTHON[name], server, folder)
    assert not promised or printed.split() == promised.split()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_with_curl_are_answered(server: Serving, folder: Path) -> None:
    answers = run(["bash", "-ec"], SHELL["curl"], server, folder)
    assert '"outputs":[{"name":"OUT","datatype":"FP32","shape":[4],"data":[1.0,2.0,3.0,4.0]}]' in answers
    assert '{"OUT":[1.0,2.0,3.0,4.0],' in answers
    assert re.findall(r'data: {"IDX":(\d),"OUT":(\d),', answers) == [("0", "1"), ("1", "2"), ("2", "3")]
