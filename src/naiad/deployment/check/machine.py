# SPDX-License-Identifier: Apache-2.0
"""Rules about what a config expects of the machine: folders that exist only in a container. May import `config`."""

from collections.abc import Iterator
from pathlib import Path

from naiad.config import pbtxt
from naiad.config.proto import ModelConfig
from naiad.deployment.check.findings import Finding, Severity
from naiad.deployment.check.subject import Subject

_CACHE_PATH = "trt_engine_cache_path"


def check_paths(subject: Subject) -> Iterator[Finding]:
    """Yield the folder for TensorRT's engines that is not there, as the mount point of a container is not."""
    accelerators = subject.written.optimization.execution_accelerators.gpu_execution_accelerator
    for index, accelerator in enumerate(accelerators):
        path = dict(accelerator.parameters).get(_CACHE_PATH)
        if path is None or Path(path).is_dir():
            continue
        yield subject.finding(
            "container-path",
            Severity.NOTE,
            f"{_CACHE_PATH} names a folder that is not on this machine; it is one of a container, probably",
            field=f"optimization.execution_accelerators.gpu_execution_accelerator[{index}].parameters",
            expected="a folder that exists",
            got=path,
            fix="leave it for a container: here, engines are kept in the version directory; or take it away",
            corrected=_without_path(subject.written, index),
        )


def _without_path(config: ModelConfig, index: int) -> str:
    corrected = ModelConfig()
    accelerators = corrected.optimization.execution_accelerators.gpu_execution_accelerator
    accelerators.extend(config.optimization.execution_accelerators.gpu_execution_accelerator)
    del accelerators[index].parameters[_CACHE_PATH]
    return pbtxt.dump(corrected)
