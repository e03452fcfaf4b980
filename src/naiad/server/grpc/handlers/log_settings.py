# SPDX-License-Identifier: Apache-2.0
"""`LogSettings`: the settings of the log, changed and told."""

from naiad.protocol import log_settings
from naiad.server.grpc.call import Call
from naiad.telemetry.logs import ServerLog


class LogSettingsMethods:
    """Answers from `log`, and changes it."""

    def __init__(self, log: ServerLog) -> None:
        self._log = log

    def change(self, call: Call, message: memoryview) -> None:
        """`LogSettings`: tells all of them; what comes before a wrong setting is changed, as in Triton."""
        for settings in log_settings.changes_in_message(message, self._log.settings):
            self._log.change(settings)
        call.answer(log_settings.message(self._log.settings))
