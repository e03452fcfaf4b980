# SPDX-License-Identifier: Apache-2.0
"""A listening HTTP port.

May import its neighbours `connection`, `exchange` and `settings`, and `transport`'s `bodies` and `listener`.
"""

from naiad.server.http.connection import HeadCheck, HttpConnection, HttpState
from naiad.server.http.exchange import Handler
from naiad.server.http.settings import HttpSettings
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.listener import Listener


class HttpServer(Listener[HttpConnection]):
    """Serves `handler` on one address and port; `check_head` may refuse requests before their bodies are read."""

    _state: HttpState

    def __init__(
        self,
        handler: Handler,
        settings: HttpSettings | None = None,
        budget: BodyBudget | None = None,
        check_head: HeadCheck | None = None,
    ) -> None:
        state = HttpState(handler, settings or HttpSettings(), budget or BodyBudget(), check_head)
        super().__init__(state, lambda: HttpConnection(state), state.settings.times.tick_s)
