# SPDX-License-Identifier: Apache-2.0
"""`/v2/logging`: the settings of the log, told and changed."""

from naiad.protocol import log_settings
from naiad.protocol.rest.documents import dumps
from naiad.server.http.exchange import JSON, Exchange
from naiad.telemetry.logs import ServerLog


class LogSettingsHandlers:
    """Answers from `log`, and changes it."""

    def __init__(self, log: ServerLog) -> None:
        self._log = log

    def tell(self, exchange: Exchange) -> None:
        """`GET /v2/logging`."""
        exchange.respond(200, JSON, (dumps(log_settings.document(self._log.settings)),))

    def change(self, exchange: Exchange) -> None:
        """`POST /v2/logging`: what comes before a wrong setting is changed, as in Triton."""
        for settings in log_settings.changes_in_json(exchange.body, self._log.settings):
            self._log.change(settings)
        self.tell(exchange)
