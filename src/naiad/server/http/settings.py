# SPDX-License-Identifier: Apache-2.0
"""What an HTTP port allows its clients, and what the options of the server mean for that.

May import `options` and `protocol`.
"""

from dataclasses import dataclass, field

from naiad.options import ServerOptions
from naiad.protocol.http1.head import Limits


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a client may take, in seconds; kept to within a quarter of the smallest one.

    `idle_s`: without a request. `head_s`: from a head's first byte to its last. `body_s`: in every such span a body
    must advance by `body_progress_bytes`. `stall_s`: without taking any of a response. `linger_s`: to read an answer
    that came before the request was over.
    """

    idle_s: float = 600.0
    head_s: float = 30.0
    body_s: float = 30.0
    body_progress_bytes: int = 1024
    stall_s: float = 60.0
    linger_s: float = 2.0

    @property
    def tick_s(self) -> float:
        """How often the limits are looked at."""
        return min(self.idle_s, self.head_s, self.body_s, self.stall_s, self.linger_s, 4.0) / 4


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What one listener allows.

    `pipeline_bytes`: what may wait in memory behind the request in work. `max_connections`: more are answered 503.
    """

    limits: Limits = field(default_factory=Limits)
    times: TimeLimits = field(default_factory=TimeLimits)
    pipeline_bytes: int = 64 * 1024
    max_connections: int = 10_000


def http_settings(options: ServerOptions) -> HttpSettings:
    """Return the settings of the HTTP port and of the one for metrics."""
    read_timeout_s = float(options.http_read_timeout_secs)
    return HttpSettings(
        limits=Limits(head_bytes=options.http_max_head_size),
        times=TimeLimits(head_s=read_timeout_s, body_s=read_timeout_s),
    )
