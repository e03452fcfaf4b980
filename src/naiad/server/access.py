# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what, on either protocol: headers that open restricted categories of the API.

Secrets are compared in a time that says nothing of them, and stand in no message and no log.
May import `options` and `errors`.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from naiad.options import RestrictedGroup

GRPC_LOCK_PREFIX = "triton-grpc-protocol-"
"""What Triton puts before the key of a `--grpc-restricted-protocol`."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A category is open to those who send `header` (as the operator spelt it) with the right value."""

    header: str
    value: bytes = field(repr=False)

    @property
    def field_name(self) -> bytes:
        """The header's name as it stands in a parsed head: in lower case."""
        return self.header.lower().encode()

    def opens(self, given: bytes | None) -> bool:
        """Return whether `given`, the header's value or None without one, is the right one."""
        return hmac.compare_digest(b"" if given is None else given, self.value)


def locks(groups: Iterable[RestrictedGroup], header_prefix: str = "") -> Mapping[str, Lock]:
    """Return category → lock; a category that is not there is open to all."""
    return {
        category: Lock(header_prefix + group.key, group.value.encode())
        for group in groups
        for category in group.categories
    }
