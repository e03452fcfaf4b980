# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what, on either protocol: API keys, and headers that open restricted categories of the API.

Secrets are compared in a time that says nothing of them, and stand in no message and no log.
May import `options` and `errors`.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from naiad.errors import InvalidArgumentError
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


_KEY = re.compile(r"[!-~]+")
_BEARER = re.compile(rb"bearer +([!-~]+) *", re.IGNORECASE)


def read_api_keys(file: str) -> tuple[str, ...]:
    """Return the keys in a file: one a line; blank lines, and those that begin with `#`, are left out.

    Raises:
        InvalidArgumentError: it cannot be read, has no key, or a line that is none.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidArgumentError(
            f"--api-key-file={file} cannot be read: {reason}; give a text file with one key a line"
        ) from error
    keys = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"}
    for number, key in keys.items():
        if not _KEY.fullmatch(key):
            raise InvalidArgumentError(
                f"--api-key-file={file}, line {number}: a key has no spaces and only printable ASCII characters; "
                "correct the line, or begin it with # if it is a comment"
            )
    if not keys:
        raise InvalidArgumentError(
            f"--api-key-file={file} has no key, expected one a line; write one into it (openssl rand -hex 32), or "
            "leave the flag out"
        )
    return tuple(keys.values())


class ApiKeys:
    """The keys that open the server. Only their hashes are kept, and every comparison looks at all of them."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = [hashlib.sha256(key.encode()).digest() for key in keys]

    def objection(self, authorization: bytes | None) -> str | None:
        """Return what is wrong with the value of `Authorization`, None without one; None if it holds a key."""
        if authorization is None:
            return "this server asks for an API key; send one as 'Authorization: Bearer KEY'"
        match = _BEARER.fullmatch(authorization)
        given = hashlib.sha256(match[1] if match else b"").digest()
        is_known = False
        for known in self._hashes:
            is_known |= hmac.compare_digest(given, known)
        return None if is_known else "the API key is none of this server's; send one as 'Authorization: Bearer KEY'"
