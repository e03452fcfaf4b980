# SPDX-License-Identifier: Apache-2.0
from naiad.options import ServerOptions
from naiad.server.http.settings import TimeLimits, http_settings


def test_what_the_options_say_of_heads_and_bodies_is_allowed() -> None:
    options = ServerOptions(model_repository=("models",), http_max_head_size=2048, http_read_timeout_secs=7)
    settings = http_settings(options)
    assert settings.limits.head_bytes == 2048
    assert settings.times == TimeLimits(head_s=7.0, body_s=7.0)


def test_the_clock_is_looked_at_four_times_within_the_shortest_limit() -> None:
    assert TimeLimits().tick_s == 0.5
    assert TimeLimits(body_s=0.4).tick_s == 0.1
