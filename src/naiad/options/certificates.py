# SPDX-License-Identifier: Apache-2.0
"""The files that TLS needs, which are the same for either port. May import `errors`, nothing else."""

from naiad.errors import InvalidArgumentError


def check_certificates(service: str, certificate: str, key: str, root: str | None) -> None:
    """Check that every file TLS needs was given; `root` is None where none is needed.

    Raises:
        InvalidArgumentError: one was not.
    """
    wanted = {"server-cert": certificate, "server-key": key} | ({} if root is None else {"root-cert": root})
    missing = ", ".join(f"--{service.lower()}-{flag}" for flag, file in wanted.items() if not file)
    if missing:
        raise InvalidArgumentError(f"TLS of {service} needs {missing}, expected the path of a PEM file for each")
