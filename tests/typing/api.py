# SPDX-License-Identifier: Apache-2.0
"""What type checkers see of the public API: checked by mypy, never run."""

from collections.abc import Mapping
from typing import assert_type

import naiad
from naiad.tensors import Array


def embedded(server: naiad.Server, array: Array) -> None:
    """The types of `naiad.Server`."""
    with server as running:
        assert_type(running, naiad.Server)
        assert_type(running.http_url, str)
        response = running.infer("m", {"x": array})
        assert_type(response, naiad.InferResponse)
        assert_type(response.output("y"), Array)
        for one in running.stream("m", {"x": array}):
            assert_type(one, naiad.InferResponse)


def remote(client: naiad.Client, array: Array) -> None:
    """The types of `naiad.Client`."""
    assert_type(client.ready(), bool)
    answers: Mapping[str, Array] = client.infer("m", {"x": array})
    del answers


def deployed() -> None:
    """The types of `naiad.deploy`."""
    deployment = naiad.deploy("yolo.onnx", "yolo")
    assert_type(deployment.version, int)
    assert_type(naiad.__version__, str)
