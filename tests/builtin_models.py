# SPDX-License-Identifier: Apache-2.0
"""Repositories of models that need no file, for tests that start a server."""

from pathlib import Path

FREE_PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
"""Options of a server that is in nobody's way."""


def of_kind(kind: str, **parameters: str) -> str:
    """Return the config of a builtin model of some kind, with the parameters of that kind."""
    rows = {"kind": kind, **parameters}.items()
    return 'backend: "builtin"\n' + "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in rows
    )


def identity(*, kind: str = "identity", dims: int = 2, max_batch_size: int = 8, **parameters: str) -> str:
    """Return the config of a model with an input X and an output Y, FP32, that gives the one as the other."""
    tensor = f"data_type: TYPE_FP32 dims: [ {dims} ]"
    own = f'max_batch_size: {max_batch_size}\ninput {{ name: "X" {tensor} }}\noutput {{ name: "Y" {tensor} }}\n'
    return of_kind(kind, **parameters) + own


def write_model(repository: Path, name: str, config: str) -> None:
    """Add a model with one version to a repository."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
