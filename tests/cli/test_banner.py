# SPDX-License-Identifier: Apache-2.0
"""What a server that is ready prints."""

import asyncio
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from naiad.cli.banner import _reach, print_banner
from naiad.options import ServerOptions
from naiad.server.app import App


def banner(
    repository: Path,
    http_address: str = "127.0.0.1",
    *,
    allow_metrics: bool = True,
    api_key_file: str = "",
    width: int = 200,
) -> str:
    """Return what is printed for a server of `repository`; every other option is fit for a test."""
    options = ServerOptions(
        model_repository=(str(repository),),
        exit_on_error=False,
        http_address=http_address,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        allow_metrics=allow_metrics,
        api_key_file=api_key_file,
    )
    out = Console(file=StringIO(), width=width, soft_wrap=True)

    async def start_and_print() -> None:
        app = App(options)
        await app.start()
        print_banner(out, app, options, 1.25)
        await app.stop()

    asyncio.run(start_and_print())
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def test_models_are_shown_with_state_instances_and_threads_and_below_it_why_one_is_not_served(
    failing_repository: Path,
) -> None:
    lines = banner(failing_repository).splitlines()
    rows = [line.split() for line in lines]
    assert ["MODEL", "VERSION", "STATE", "INSTANCES", "×", "THREADS"] in rows
    assert ["broken", "1", "UNAVAILABLE", "-"] in rows
    assert "broken version 1: Internal: out of luck" in lines


def test_a_long_reason_is_left_to_a_narrow_terminal_to_wrap(repository: Path) -> None:
    (repository / "copy" / "config.pbtxt").write_text('backend: "builtin" parameters { key: "kind" }')
    lines = banner(repository, width=40).splitlines()
    assert any(line.startswith("copy") and len(line) > 80 for line in lines)


def test_the_instances_of_a_model_and_their_threads_are_counted(repository: Path) -> None:
    config = repository / "copy" / "config.pbtxt"
    config.write_text(config.read_text() + "instance_group { count: 3 kind: KIND_CPU }\n")
    assert "3 × 1" in banner(repository)


def test_an_empty_repository_is_told_how_to_be_filled(tmp_path: Path) -> None:
    assert "No models yet. Put one into the repository: naiad deploy WEIGHTS" in banner(tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_this_machine_alone_is_told_how_to_open_the_server(repository: Path, address: str) -> None:
    text = banner(repository, address)
    assert "HTTP     http://" in text
    assert "Metrics  http://" in text
    assert "Only this machine can reach it. To open it to the network (there is no password)" in text


def test_an_open_server_is_told_that_it_is_one(repository: Path) -> None:
    text = banner(repository, "0.0.0.0", allow_metrics=False)
    assert "Whoever reaches 0.0.0.0 can use HTTP: there is no password." in text
    assert "Only this machine" not in text
    assert "Metrics" not in text


def test_a_server_with_keys_names_their_file(repository: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("s3cret")
    closed, open_ = (banner(repository, address, api_key_file=str(keys)) for address in ("127.0.0.1", "0.0.0.0"))
    assert f"Only this machine can reach it, with a key of {keys}." in closed
    assert f"Whoever reaches 0.0.0.0 can use HTTP with a key of {keys}. Keys travel in the clear;" in open_
    assert "s3cret" not in closed + open_


CERTIFICATES = {"grpc_server_cert": "a.pem", "grpc_server_key": "b.pem", "grpc_root_cert": "ca.pem"}
NO_PASSWORD = "there is no password. To ask for one: --api-key-file=FILE. To close it: leave"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {},
            (
                "Only this machine can reach it. To open it to the network (there is no password): "
                "--http-address=0.0.0.0 --grpc-address=0.0.0.0"
            ),
        ),
        (
            {"allow_grpc": False},
            "Only this machine can reach it. To open it to the network (there is no password): --http-address=0.0.0.0",
        ),
        (
            {"grpc_address": "0.0.0.0"},
            f"Whoever reaches 0.0.0.0 can use gRPC: {NO_PASSWORD} --grpc-address out",
        ),
        (
            {"grpc_address": "0.0.0.0", "grpc_use_ssl_mutual": True, **CERTIFICATES},
            (
                "Whoever reaches 0.0.0.0 can use gRPC with a certificate that ca.pem vouches for. To close it: leave "
                "--grpc-address out"
            ),
        ),
        (
            {"http_address": "0.0.0.0", "grpc_address": "::"},
            (
                f"Whoever reaches 0.0.0.0 can use HTTP: {NO_PASSWORD} --http-address out\n"
                f"Whoever reaches :: can use gRPC: {NO_PASSWORD} --grpc-address out"
            ),
        ),
        (
            {"grpc_address": "0.0.0.0", "grpc_use_ssl": True, "api_key_file": "keys", **CERTIFICATES},
            "Whoever reaches 0.0.0.0 can use gRPC with a key of keys. To close it: leave --grpc-address out",
        ),
        ({"allow_http": False, "allow_grpc": False}, ""),
    ],
)
def test_each_port_is_told_who_can_reach_it(options: dict[str, Any], told: str) -> None:
    assert "\n".join(_reach(ServerOptions(model_repository=("models",), **options))) == told
