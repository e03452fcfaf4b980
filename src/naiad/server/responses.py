# SPDX-License-Identifier: Apache-2.0
"""The responses to one request of a program that runs the server in its own process.

Between the server's thread and the program's lie some responses at most: while the program takes none, the model waits.
May import `errors`, `requests` and the data plane's `Ticket`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from naiad.engine.dataplane import Ticket
from naiad.errors import NaiadError
from naiad.requests import InferResponse

_MOST_WAITING = 64
"""With as many responses not yet taken, the model has to wait until all are."""


class Responses(Iterator[InferResponse]):
    """The responses to one request, as they are made; the last one ends the iteration.

    One that only says that there are no more is not among them. A response with `error` set is one at which the model
    failed, between others; the error that ends a request is raised. Whoever stops early should `close()`, or use this
    in a `with` block: the model is then told that nobody waits. To be used by one thread at a time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float | None) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._came: SimpleQueue[InferResponse | NaiadError] = SimpleQueue()
        self._ticket: Ticket | None = None
        self._has_ended = False
        self._model_waits = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> InferResponse:
        """Wait for the next response.

        Raises:
            NaiadError: the request failed.
            TimeoutError: none came within the time; the request is withdrawn.
        """
        if self._has_ended:
            raise StopIteration
        try:
            response = self._came.get(timeout=self._timeout_s)
        except Empty:
            self.close()
            raise TimeoutError(f"no response within {self._timeout_s:g} s") from None
        if self._model_waits and self._came.empty():
            self._on_loop(self._let_model_go_on)
        if isinstance(response, NaiadError):
            self._has_ended = True
            raise response
        if response.final:
            self._has_ended = True
            if response.says_only_last:
                raise StopIteration
        return response

    def close(self) -> None:
        """Withdraw the request, if it has not ended."""
        if not self._has_ended:
            self._has_ended = True
            self._on_loop(self._cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._has_ended and self._ticket is not None:
            self._on_loop(self._ticket.cancel)

    def _on_loop(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the server was stopped, and the loop closed
            self._loop.call_soon_threadsafe(function)

    # -- the loop's thread

    def begin(self, ticket: Ticket) -> None:
        """Note what the request is known by."""
        self._ticket = ticket

    def take(self, response: InferResponse | NaiadError) -> None:
        """Take a response, for the program to take it in its turn."""
        if not self._model_waits and self._came.qsize() >= _MOST_WAITING and self._ticket is not None:
            # Said before there is more to take, so that whoever takes the last one sees it.
            self._model_waits = True
            self._ticket.hold_back(True)
        self._came.put(response)

    def _let_model_go_on(self) -> None:
        self._model_waits = False
        if self._ticket is not None:
            self._ticket.hold_back(False)

    def _cancel(self) -> None:
        if self._ticket is not None:
            self._ticket.cancel()
