# SPDX-License-Identifier: Apache-2.0
"""TLS of the HTTP and the gRPC port: certificates and keys of the options, what is spoken inside by ALPN.

May import `options`, `errors` and the standard library.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

from naiad.errors import InvalidArgumentError
from naiad.options import ServerOptions


def http_tls(options: ServerOptions) -> ssl.SSLContext | None:
    """Return the TLS context of the HTTP port; None if it speaks none.

    Raises:
        InvalidArgumentError: a certificate or key cannot be used.
    """
    if not options.http_uses_tls:
        return None
    root = options.http_root_cert if options.http_use_ssl_mutual else ""
    return _context("http", options.http_server_cert, options.http_server_key, root, "http/1.1")


def grpc_tls(options: ServerOptions) -> ssl.SSLContext | None:
    """Return the TLS context of the gRPC port; None if it speaks none.

    Raises:
        InvalidArgumentError: a certificate or key cannot be used.
    """
    if not options.grpc_uses_tls:
        return None
    root = options.grpc_root_cert if options.grpc_use_ssl_mutual else ""
    return _context("grpc", options.grpc_server_cert, options.grpc_server_key, root, "h2")


def unused_files(options: ServerOptions) -> Iterator[str]:
    """Yield an objection for each port that was given a certificate or key, and speaks in the clear all the same."""
    given = {
        "http": (options.http_uses_tls, options.http_server_cert or options.http_server_key),
        "grpc": (options.grpc_uses_tls, options.grpc_server_cert or options.grpc_server_key),
    }
    for service, (uses_tls, file) in given.items():
        if file and not uses_tls:
            yield (
                f"{file} is not used, and the {service} port speaks in the clear; to encrypt it: "
                f"--{service}-use-ssl=true, or leave the file out"
            )


def _context(service: str, certificate: str, key: str, root: str, alpn: str) -> ssl.SSLContext:
    """Return a server's context; with a `root`, clients must show a certificate that it vouches for."""
    files = {"server-cert": certificate, "server-key": key} | ({"root-cert": root} if root else {})
    for name, file in files.items():
        _check_readable(f"--{service}-{name}", file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9113 §9.2
    context.set_alpn_protocols([alpn])
    try:
        # Without a password function OpenSSL would ask on the terminal, and the server would never start.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgumentError(
            f"--{service}-server-cert={certificate} and --{service}-server-key={key} cannot be used, expected PEM "
            f"files of a certificate and its key, without a passphrase: {error}"
        ) from error
    if root:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(root)
        except (OSError, ssl.SSLError) as error:
            raise InvalidArgumentError(
                f"--{service}-root-cert={root} cannot be used, expected a PEM file of the certificates that vouch for "
                f"clients: {error}"
            ) from error
    return context


def _check_readable(flag: str, file: str) -> None:
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise InvalidArgumentError(
            f"{flag}={file} cannot be read: {error.strerror}; give a PEM file that this user may read"
        ) from error
