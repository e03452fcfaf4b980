# SPDX-License-Identifier: Apache-2.0
"""Clients of this user's own servers on this machine. May import `client` and `registry`."""

import ssl

from naiad.cli.registry import RunningServer
from naiad.client import Client


def client_of(server: RunningServer, *, timeout_s: float = 60.0, api_key: str = "") -> Client:
    """Return a client of a listed server with HTTP; of an https one it trusts the certificate it was started with."""
    context = _trusting(server.certificate) if server.certificate else None
    return Client(server.http_url, timeout_s, api_key=api_key, ssl_context=context)


def _trusting(certificate: str) -> ssl.SSLContext | None:
    """Return a context that trusts this certificate and no other; None, for the usual one, if it has gone meanwhile."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the server is asked by its address
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever issued the certificate
    try:
        context.load_verify_locations(certificate)
    except (OSError, ssl.SSLError):
        return None
    return context
