# SPDX-License-Identifier: Apache-2.0
"""A request that is being handled, whatever its protocol: where its errors end, and who is told that nobody waits.

May import `errors` and `telemetry`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ParamSpec

from naiad.errors import InternalError, NaiadError
from naiad.telemetry.traces.trace import Trace

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class RequestContext(ABC):
    """A request that waits for its answer: an HTTP exchange or a gRPC call.

    `on_cancel` may be set to be told, once, that nobody waits any more; `cancelled` says so from then on. A `trace` may
    be set before the answer, and is closed after it. Everything happens on the event loop's thread. Subclasses set
    these fields themselves: a call for that would be one more for each request.
    """

    __slots__ = ("cancelled", "on_cancel", "trace")

    cancelled: bool
    on_cancel: Callable[[], None] | None
    trace: Trace | None

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Whether an answer is still to be given to someone."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What the log calls this request."""

    @abstractmethod
    def fail(self, error: NaiadError) -> None:
        """Answer with the error's status and text, unless there is an answer already or nobody waits."""

    def run(self, function: Callable[P, None], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `function`, a step of handling this request, and answer with the error it raises, if any.

        This is the boundary at which unforeseen exceptions end: logged with their traceback, told to the client only
        as "internal error". Every callback that handles a request goes through it.
        """
        try:
            function(*args, **kwargs)
        except NaiadError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - the boundary named above
            _log.exception("unforeseen error while handling %s", self.description)
            self.fail(InternalError("internal error while handling the request; the server's log has the details"))

    def _tell_of_cancel(self) -> None:
        """Call `on_cancel`, if it is set and was not called yet."""
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is None:
            return
        try:
            on_cancel()
        except Exception:  # noqa: BLE001 - as in `run`
            _log.exception("unforeseen error while cancelling %s", self.description)
