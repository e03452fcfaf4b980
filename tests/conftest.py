# SPDX-License-Identifier: Apache-2.0
"""What all tests share: the trained weights, how hypothesis searches, certificates, and a tame Ultralytics."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

# Deadlines fail on a busy machine without telling anything. In continuous integration the examples are the same in
# every run, so that a red run can be repeated; everywhere else they are new ones.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Ultralytics neither installs packages nor calls home from a test. It reads these when it is imported, in the servers
# and commands that tests start too.
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_OFFLINE", "true")


@pytest.fixture(scope="session")
def test_models() -> Path:
    """The folder with trained weights (`yolov8n.pt`, `yolov8n.onnx`); skips where NAIAD_TEST_MODELS names none."""
    named = os.environ.get("NAIAD_TEST_MODELS")
    if not named:
        pytest.skip("needs trained weights: set NAIAD_TEST_MODELS to a folder with yolov8n.pt and yolov8n.onnx")
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        pytest.fail(f"NAIAD_TEST_MODELS is {named}, expected an existing folder; correct or unset it")
    return folder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cert.pem` and `key.pem` for localhost; the certificate vouches for itself.

    `locked.pem` is the key under a passphrase.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    commands = (
        (
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ),
        ("ec", "-in", "key.pem", "-aes256", "-passout", "pass:secret", "-out", "locked.pem"),
    )
    for arguments in commands:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)
    return folder
