# SPDX-License-Identifier: Apache-2.0
"""What the metadata of a call means for its requests. May import `protocol`."""

from collections.abc import Iterator

from naiad.protocol.grpc.call import CallHead
from naiad.protocol.timing_fields import REQUEST_FIELD, asks_for_timing


def wants_timing(head: CallHead) -> bool:
    """Tell whether the client asks where the time of its requests goes."""
    return bool(head.metadata) and asks_for_timing(dict(head.metadata).get(REQUEST_FIELD))


def fields_of(head: CallHead) -> Iterator[tuple[bytes, bytes]]:
    """Give what Triton counts as a call's metadata."""
    for name, value in head.metadata:
        yield name.encode(), value
    if head.user_agent:
        yield b"user-agent", head.user_agent
