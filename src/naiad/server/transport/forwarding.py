# SPDX-License-Identifier: Apache-2.0
"""Headers of HTTP and metadata of gRPC that are handed to the model, as Triton does it for a pattern of the operator's.

May import `requests` and `errors`.
"""

import re
from collections.abc import Iterable

from naiad.errors import InvalidArgumentError
from naiad.requests import InferRequest

_RESERVED = frozenset(
    ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output")
)
_RESERVED_PREFIX = "triton_"
"""Names that parameters of a request have for the server; no model is to take a header for one of them."""


class HeaderForwarding:
    """Makes parameters of the header fields in whose names `pattern` is found."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern

    def add_to(self, request: InferRequest, fields: Iterable[tuple[bytes, bytes]]) -> InferRequest:
        """Return `request` with those of `fields` among its parameters; names are as given.

        A field replaces a parameter of its name, and one that is sent again the one before: so would a model that reads
        Triton's parameters, which come one behind the other. What is not UTF-8 in a value becomes U+FFFD.

        Raises:
            InvalidArgumentError: the name of one means something to the server (Triton's text).
        """
        forwarded: dict[str, str] = {}
        for raw_name, value in fields:
            if self._pattern.search(raw_name):
                name = raw_name.decode("latin-1")
                if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
                    raise InvalidArgumentError(f"Header '{name}' is reserved for Triton usage and cannot be forwarded.")
                forwarded[name] = value.decode(errors="replace")
        return request._replace(parameters={**request.parameters, **forwarded}) if forwarded else request


def header_forwarding(pattern: re.Pattern[bytes] | None) -> HeaderForwarding | None:
    """Return what forwards the headers that `pattern` names; None if there is none."""
    return None if pattern is None else HeaderForwarding(pattern)
