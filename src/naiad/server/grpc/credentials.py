# SPDX-License-Identifier: Apache-2.0
"""TLS of the gRPC port: certificate, key and root certificates of `--grpc-use-ssl`, and HTTP/2 by ALPN.

May import `errors` and the standard library.
"""

import ssl

from naiad.errors import InvalidArgumentError


def server_context(certificate: str, key: str, root: str = "") -> ssl.SSLContext:
    """Return the TLS context of a gRPC server; the arguments are paths of PEM files.

    With a `root`, clients must show a certificate that it vouches for.

    Raises:
        InvalidArgumentError: a file is missing, unreadable, or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9113 §9.2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgumentError(
            f"--grpc-server-cert={certificate} and --grpc-server-key={key} cannot be used, expected PEM files of a "
            f"certificate and its key: {error}"
        ) from error
    if root:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(root)
        except (OSError, ssl.SSLError) as error:
            raise InvalidArgumentError(
                f"--grpc-root-cert={root} cannot be used, expected a PEM file of the certificates that vouch for "
                f"clients: {error}"
            ) from error
    return context
