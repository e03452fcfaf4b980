# SPDX-License-Identifier: Apache-2.0
"""What both protocols' listeners have in common; the rest is tested with HTTP's, which needs no client library."""

import errno
import socket

import pytest

from naiad.server.transport.listener import ListenerState, _binding_failure


class Connection:
    """Does nothing."""

    def drain(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def check_time(self, now_s: float) -> None:
        pass


def test_whoever_waits_for_the_last_connection_is_told() -> None:
    state: ListenerState[Connection] = ListenerState()
    first, second, told = Connection(), Connection(), []
    for connection in (first, second):
        state.enter(connection)
    state.on_empty = lambda: told.append(len(state.connections))
    state.leave(first)
    state.leave(first)
    assert told == []
    state.leave(second)
    assert told == [0]


def test_the_view_is_of_the_buffer() -> None:
    state: ListenerState[Connection] = ListenerState()
    state.receive_view[:3] = b"abc"
    assert state.receive_buffer[:3] == b"abc"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EADDRINUSE, "x"),
            "the port is in use; stop what listens there, or choose another with --grpc-port (0 takes a free one)",
        ),
        (OSError(errno.EADDRNOTAVAIL, "x"), "this machine doesn't have that address; use --grpc-address=127.0.0.1"),
        (
            socket.gaierror(socket.EAI_NONAME, "x"),
            "this machine doesn't have that address; use --grpc-address=127.0.0.1",
        ),
        (OSError(errno.EACCES, "x"), "no permission; choose a port above 1023 with --grpc-port"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError("no address of it"), "this machine doesn't have that address; use --grpc-address=127.0.0.1"),
    ],
)
def test_a_failure_to_bind_is_told_with_a_way_out(error: OSError, told: str) -> None:
    assert _binding_failure("grpc", "localhost", 80, error).startswith(f"cannot listen on localhost:80: {told}")
