# SPDX-License-Identifier: Apache-2.0
"""Token buckets, which tell a flood from a burst. May import `limits`."""

from naiad.protocol.http2.limits import Rate


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
