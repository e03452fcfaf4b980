# SPDX-License-Identifier: Apache-2.0
"""A server as a process of its own: from its start to the signal that ends it.

`embedded` is its sibling for a server inside a Python program. May import `app`, `options` and `telemetry`.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable

from naiad.options import ServerOptions
from naiad.server.app import App, new_event_loop
from naiad.telemetry.logs import ServerLog

_SWITCH_S = 0.001
"""How long a thread may keep the interpreter's lock from the event loop, which needs it several times for a request.

At Python's 5 ms a health check takes 10 to 15 ms while a large JSON body is being read; throughput is the same.
"""

_log = logging.getLogger(__name__)


def run(options: ServerOptions, log: ServerLog, on_ready: Callable[[App], None]) -> int:
    """Serve until SIGINT or SIGTERM, then return the process's exit code, 0.

    `on_ready` is called once the ports are open and the models loaded. A second signal ends the process at once, and
    so does, with exit code 1, the exit timeout.

    Raises:
        NaiadError: the server could not start.
    """
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_run(options, log, on_ready))


async def _run(options: ServerOptions, log: ServerLog, on_ready: Callable[[App], None]) -> int:
    stopping = _stop_signal(asyncio.get_running_loop())
    app = App(options, log)
    starting = asyncio.ensure_future(app.start())
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    try:
        if starting.done():
            starting.result()
            # What was made until now stays: the garbage collector need not look at it for every full collection.
            gc.collect()
            gc.freeze()
            on_ready(app)
            await waiting
        else:
            starting.cancel()
    finally:
        waiting.cancel()
        in_time = await app.stop()
    if not in_time:
        _log.error("Exit timeout expired. Exiting immediately.")
        # Threads may be busy for as long as they like; a normal exit would wait for them.
        logging.shutdown()
        os._exit(1)
    return 0


def _stop_signal(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Return an event that is set by the first SIGINT or SIGTERM; the second one has its usual, deadly effect."""
    stopping = asyncio.Event()

    # Not the loop's own signal handlers: there are none on Windows.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _: object) -> None:
        for one, handler in before.items():
            signal.signal(one, handler)
        loop.call_soon_threadsafe(received, number)

    def received(number: int) -> None:
        print(f"Signal ({number}) received.", flush=True)  # noqa: T201 - Triton prints it there
        stopping.set()

    for number in before:
        signal.signal(number, on_signal)
    return stopping
