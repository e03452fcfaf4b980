# SPDX-License-Identifier: Apache-2.0
"""A few threads for what would hold up the event loop: compression and large JSON.

May import its neighbour `request_context`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from naiad.server.transport.request_context import RequestContext

T = TypeVar("T")


class SlowWork:
    """Runs steps of handling a request off the loop.

    An HTTP connection has at most one at a time, a gRPC connection one for each stream, so what can wait is bounded.
    """

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="naiad-slow-work")

    def run(self, context: RequestContext, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Call `work` in a thread, then `then` with its result on the loop, if somebody still waits for the answer.

        What either raises becomes the request's answer.
        """
        loop = asyncio.get_running_loop()

        def step() -> None:
            if not context.waiting:
                return  # what clients that come and go leave behind must not keep others waiting
            try:
                finish = partial(then, work())
            except BaseException as error:  # noqa: BLE001 - raised again on the loop, within `RequestContext.run`
                finish = partial(_raise, [error])
            loop.call_soon_threadsafe(_finish, context, finish)

        # Not `run_in_executor`: the futures it ties together keep each other, and with them the result or the error's
        # traceback, and so the request's body, until the garbage collector comes by.
        self._pool.submit(step)

    def close(self) -> None:
        """Start no more work; returns when what runs is done, which is a matter of a second at the most."""
        self._pool.shutdown(cancel_futures=True)


def _finish(context: RequestContext, finish: Callable[[], None]) -> None:
    if not context.cancelled:
        context.run(finish)


def _raise(errors: list[BaseException]) -> None:
    """Raise the one error in `errors`, taken out so that no frame of its own traceback keeps it."""
    raise errors.pop()
