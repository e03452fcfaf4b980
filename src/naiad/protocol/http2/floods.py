# SPDX-License-Identifier: Apache-2.0
"""Token buckets, which tell a flood from a burst. May import `limits` and `faults`."""

from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.limits import Http2Limits, Rate


class Bucket:
    """Tokens that are spent one by one and come back with time; starts full."""

    __slots__ = ("_rate", "_seen_s", "_tokens")

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._seen_s = now_s

    def spend(self, now_s: float) -> bool:
        """Take a token; return False if there is none."""
        self._tokens = min(self._rate.burst, self._tokens + (now_s - self._seen_s) * self._rate.per_s)
        self._seen_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class FloodGuard:
    """Counts what a client may do only so often on one connection; `now_s` is set from outside.

    Each method raises `ConnectionFailedError` when its bucket is empty.
    """

    __slots__ = ("_controls", "_refusals", "_resets", "now_s")

    def __init__(self, limits: Http2Limits, now_s: float) -> None:
        self.now_s = now_s
        self._controls = Bucket(limits.control_frames, now_s)
        self._resets = Bucket(limits.resets, now_s)
        self._refusals = Bucket(limits.refusals, now_s)

    def count_control(self) -> None:
        """Count a frame that costs work and carries nothing of a request."""
        if not self._controls.spend(self.now_s):
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    def count_reset(self) -> None:
        """Count a stream that ends by RST_STREAM, the client's or one it provoked."""
        if not self._resets.spend(self.now_s):
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    def count_refusal(self) -> None:
        """Count a stream beyond the allowed number."""
        if not self._refusals.spend(self.now_s):
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams beyond the allowed number")
