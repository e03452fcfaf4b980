# SPDX-License-Identifier: Apache-2.0
"""Whether the client of a connection is still there, and gets on with what it has begun.

May import `protocol` and its neighbour `settings`.
"""

from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.faults import ErrorCode
from naiad.server.grpc.settings import Keepalive


class Liveness:
    """Watches one connection; told the time at every tick, in seconds.

    What tells of a client are the frames that have come to their end, and DATA frames on their way: how fast those must
    come is the business of their call.
    """

    __slots__ = (
        "_begun_mark",
        "_begun_s",
        "_heard_mark",
        "_heard_s",
        "_http2",
        "_keepalive",
        "_pinged_s",
        "_pings_without_data",
        "_responses_mark",
    )

    def __init__(self, http2: Connection, keepalive: Keepalive, now_s: float) -> None:
        self._http2 = http2
        self._keepalive = keepalive
        self._begun_mark = 0
        self._begun_s = now_s
        self._heard_mark = 0
        self._heard_s = now_s
        self._pinged_s: float | None = None
        self._pings_without_data = 0
        self._responses_mark = 0

    def check_begun(self, now_s: float, limit_s: float) -> None:
        """End a connection that has left a frame, or its own beginning, unfinished for longer than `limit_s`."""
        http2 = self._http2
        if not http2.is_mid_frame or http2.received_frames != self._begun_mark or http2.is_receiving_data:
            self._begun_mark, self._begun_s = http2.received_frames, now_s
        elif now_s - self._begun_s > limit_s:
            http2.fail(ErrorCode.ENHANCE_YOUR_CALM, f"a frame was not complete after {limit_s:g} s")

    def check_alive(self, now_s: float) -> bool:
        """Ask for a sign of life when there has been none for long; return False if the client gave none in time."""
        http2, keepalive = self._http2, self._keepalive
        if http2.received_frames != self._heard_mark or http2.is_receiving_data:
            self._heard_mark, self._heard_s = http2.received_frames, now_s
            self._pinged_s = None
        elif self._pinged_s is not None:
            return now_s - self._pinged_s <= keepalive.timeout_s
        elif now_s - self._heard_s > keepalive.time_s and (http2.streams or keepalive.without_calls):
            self._ask(now_s)
        return True

    def _ask(self, now_s: float) -> None:
        """Ping, unless there were too many pings since the last response."""
        http2, most = self._http2, self._keepalive.max_pings_without_data
        if http2.responses_sent != self._responses_mark:
            self._pings_without_data = 0
        if most and self._pings_without_data >= most:
            return
        self._pings_without_data += 1
        self._responses_mark = http2.responses_sent
        self._pinged_s = now_s
        http2.ping()
