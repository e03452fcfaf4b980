# SPDX-License-Identifier: Apache-2.0
"""Who may use the server, and how many at a time. May import `errors` and what lies beside this folder."""

from dataclasses import dataclass
from functools import partial

from naiad.options.flags import MAX_INT, Flag, option

_flag = partial(Flag, "Access")


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """The rows under the heading Access."""

    api_key_file: str = option(
        "",
        _flag(
            "Let in only requests with a key of this file, as Authorization: Bearer KEY. One key a line, lines that "
            "begin with # are comments. Server health (live, ready) and metrics stay open.",
            path="file",
            tritons=False,
        ),
    )
    max_requests_in_flight: int = option(
        0,
        _flag(
            "Refuse inference requests beyond this many at a time, over all models and both protocols, as unavailable; "
            "0 is any number.",
            minimum=0,
            maximum=MAX_INT,
            tritons=False,
        ),
    )
