# SPDX-License-Identifier: Apache-2.0
"""Files that TLS cannot use are named at the start, with what to do."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naiad.errors import InvalidArgumentError
from naiad.options import ServerOptions
from naiad.server.transport.credentials import grpc_tls, http_tls, unused_files

MINIMAL = ServerOptions(model_repository=("models",))
SERVICES = {"http": http_tls, "grpc": grpc_tls}


def context(service: str, certificate: str | Path, key: str | Path, root: str | Path = "") -> ssl.SSLContext | None:
    files = {"server_cert": certificate, "server_key": key, "root_cert": root}
    options = {f"{service}_{name}": str(file) for name, file in files.items()}
    flag = f"{service}_use_ssl_mutual" if root else f"{service}_use_ssl"
    return SERVICES[service](ServerOptions(model_repository=("models",), **options, **{flag: True}))  # type: ignore[arg-type]


@pytest.mark.parametrize("made", SERVICES.values())
def test_without_its_flags_no_tls_is_spoken(made: Callable[[ServerOptions], object]) -> None:
    assert made(MINIMAL) is None


@pytest.mark.parametrize("service", SERVICES)
def test_only_the_mutual_flag_asks_clients_for_a_certificate(certificates: Path, service: str) -> None:
    certificate, key = certificates / "cert.pem", certificates / "key.pem"
    plain, mutual = context(service, certificate, key), context(service, certificate, key, certificate)

    assert plain is not None
    assert mutual is not None
    assert (plain.verify_mode, mutual.verify_mode) == (ssl.CERT_NONE, ssl.CERT_REQUIRED)
    assert plain.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("/nowhere", "key.pem"), "--{}-server-cert=/nowhere cannot be read: No such file or directory; give a PEM"),
        (("cert.pem", "/nowhere"), "--{}-server-key=/nowhere cannot be read: No such file or directory; give a PEM"),
        (("cert.pem", "key.pem", "/nowhere"), "--{}-root-cert=/nowhere cannot be read: No such file or directory"),
        (("cert.pem", "cert.pem"), "cannot be used, expected PEM files of a certificate and its key, without a pass"),
        (("cert.pem", "locked.pem"), "locked.pem cannot be used, expected PEM files of a certificate and its key"),
        (("cert.pem", "key.pem", "key.pem"), "key.pem cannot be used, expected a PEM file of the certificates that"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    certificates: Path, service: str, files: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(message.format(service))):
        context(service, *(certificates / file for file in files))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("file", ["server_cert", "server_key"])
def test_files_without_the_flag_that_uses_them_are_objected_to(service: str, file: str) -> None:
    options = ServerOptions(model_repository=("models",), **{f"{service}_{file}": "a.pem"})  # type: ignore[arg-type]
    (objection,) = unused_files(options)
    assert objection == (
        f"a.pem is not used, and the {service} port speaks in the clear; to encrypt it: --{service}-use-ssl=true, or "
        "leave the file out"
    )
    in_use: dict[str, Any] = {
        f"{service}_server_cert": "a.pem",
        f"{service}_server_key": "b.pem",
        f"{service}_use_ssl": True,
    }
    assert not list(unused_files(ServerOptions(model_repository=("models",), **in_use)))
