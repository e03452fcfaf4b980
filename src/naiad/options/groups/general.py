# SPDX-License-Identifier: Apache-2.0
"""The options of the server as a whole. May import `errors` and what lies beside this folder."""

from dataclasses import dataclass
from functools import partial

from naiad.options.flags import MAX_INT, Flag, option

_flag = partial(Flag, "Server")


@dataclass(frozen=True, kw_only=True)
class GeneralOptions:
    """The rows under the heading Server."""

    id: str = option("naiad", _flag("Name of this server in the server metadata."))
    exit_timeout_secs: int = option(
        30,
        _flag("How long a stopping server waits for requests in flight.", unit="s", minimum=0, maximum=MAX_INT),
    )
    allow_client_shm: bool = option(
        False,
        _flag(
            "Let clients register shared memory: any that this server's user may open can be read and written.",
        ),
    )
