# SPDX-License-Identifier: Apache-2.0
"""What a run has to work with, and the two servers that nearly every measurement compares: Naiad and Triton."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ServerProcess, free_ports, running

_READY = "/v2/health/ready"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run has to work with: tools by their name, a scratch folder, a cache, and how much to measure."""

    tools: Mapping[str, Path]
    scratch: Path
    cache: Path
    rounds: int
    seconds: float


@contextmanager
def naiad(setting: Setting, repository: Path, *flags: str) -> Iterator[ServerProcess]:
    """Run `naiad serve` on a repository."""
    http, grpc, metrics = free_ports(3)
    command = [sys.executable, "-m", "naiad", "serve", f"--model-repository={repository}"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--log-info=false", *flags]
    with running(command, http, _READY, setting.scratch, grpc_port=grpc) as server:
        yield server


@contextmanager
def triton(setting: Setting, repository: Path) -> Iterator[ServerProcess]:
    """Run the real Triton on a repository, with the script that the tool `triton` names."""
    http, grpc, metrics = free_ports(3)
    command = [str(setting.tools["triton"]), str(repository), str(http), str(grpc), str(metrics)]
    with running(command, http, _READY, setting.scratch, grpc_port=grpc) as server:
        yield server
