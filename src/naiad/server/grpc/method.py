# SPDX-License-Identifier: Apache-2.0
"""What a path of the gRPC port leads to. May import `transport.access` and its neighbour `call`, for its type."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from naiad.server.transport.access import Lock

if TYPE_CHECKING:
    from naiad.server.grpc.call import Call


class StreamHandler(Protocol):
    """Handles the messages of one call with a stream of them."""

    def on_message(self, message: memoryview, /) -> None:
        """Handle a message."""

    def on_half_close(self) -> None:
        """Note that no more messages come."""

    def on_drained(self) -> None:
        """Note that all that waited for the client to read has gone."""

    def on_cancel(self) -> None:
        """Note that the call is over, whatever the reason: nobody waits for an answer any more."""


class Method(NamedTuple):
    """What a path leads to: a handler of one message, or one that makes a handler of a stream of them.

    With a `lock`, only calls that open it get there.
    """

    unary: "Callable[[Call, memoryview], None] | None" = None
    stream: "Callable[[Call], StreamHandler] | None" = None
    lock: Lock | None = None


Methods = Mapping[str, Method]
"""Path (`/package.Service/Method`) → its method."""
