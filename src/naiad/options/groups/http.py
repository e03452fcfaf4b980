# SPDX-License-Identifier: Apache-2.0
"""The options of the HTTP port. May import `errors` and what lies beside this folder."""

import re
from dataclasses import dataclass
from functools import partial

from naiad.options.certificates import check_certificates
from naiad.options.flags import MAX_INT, MAX_PORT, Flag, option
from naiad.options.values import (
    RESTRICTED_CATEGORIES,
    RestrictedGroup,
    check_groups,
    parse_name_pattern,
)

_flag = partial(Flag, "HTTP")


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """The rows under the heading HTTP."""

    allow_http: bool = option(True, _flag("Listen for HTTP requests."))
    http_address: str = option("127.0.0.1", _flag("Address to listen on; 0.0.0.0 opens the server to the network."))
    http_port: int = option(8000, _flag("Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT))
    reuse_http_port: bool = option(False, _flag("Share the port with other processes (SO_REUSEPORT)."))
    http_thread_count: int = option(
        8,
        _flag(
            "Accepted for Triton's sake: one event loop serves all connections.",
            minimum=1,
            maximum=MAX_INT,
            note="has no effect: one event loop serves all HTTP connections",
        ),
    )
    http_max_input_size: int = option(
        64 * 2**20,
        _flag(
            "Largest JSON, raw or decompressed body of a request; binary tensors do not count.",
            unit="bytes",
            minimum=1,
        ),
    )
    http_max_head_size: int = option(
        64 * 2**10, _flag("Largest request line and headers.", unit="bytes", minimum=1024, tritons=False)
    )
    http_max_bytes_in_flight: int = option(
        2**30, _flag("Most bytes of request bodies held at a time.", unit="bytes", minimum=1, tritons=False)
    )
    http_read_timeout_secs: int = option(
        60,
        _flag(
            "How long a request's head may take in all, and its body for every 1024 bytes.",
            unit="s",
            minimum=1,
            maximum=MAX_INT,
            tritons=False,
        ),
    )
    http_use_ssl: bool = option(
        False,
        _flag("Speak TLS (https), with --http-server-cert and --http-server-key.", tritons=False),
    )
    http_use_ssl_mutual: bool = option(
        False,
        _flag("Speak TLS, and let in only clients that --http-root-cert vouches for.", tritons=False),
    )
    http_server_cert: str = option("", _flag("PEM file of the server's certificate.", path="file", tritons=False))
    http_server_key: str = option("", _flag("PEM file of the key to --http-server-cert.", path="file", tritons=False))
    http_root_cert: str = option(
        "", _flag("PEM file of the certificates that vouch for clients.", path="file", tritons=False)
    )
    http_restricted_api: tuple[RestrictedGroup, ...] = option(
        (),
        _flag(
            "Open categories of the API only to requests with a header: CATEGORY,CATEGORY:HEADER=VALUE. Categories: "
            f"{', '.join(RESTRICTED_CATEGORIES)}.",
            repeatable=True,
        ),
    )
    http_header_forward_pattern: str = option(
        "",
        _flag(
            "Hand headers to the model as parameters of the request: those in whose name this regular expression is "
            "found, in any case unless it begins with (?-i).",
        ),
    )

    @property
    def http_uses_tls(self) -> bool:
        """Whether HTTP speaks TLS; either flag turns it on, as those of gRPC do."""
        return self.http_use_ssl or self.http_use_ssl_mutual

    @property
    def http_forwarded_names(self) -> re.Pattern[bytes] | None:
        """What is found in the names of the headers that models are handed; None without a pattern."""
        return parse_name_pattern("http_header_forward_pattern", self.http_header_forward_pattern)

    def check_http(self) -> None:
        """Check what the rows of the table cannot tell.

        Raises:
            InvalidArgumentError: a certificate or key is missing, a pattern or a restricted category is wrong.
        """
        if self.http_uses_tls:
            root = self.http_root_cert if self.http_use_ssl_mutual else None
            check_certificates("HTTP", self.http_server_cert, self.http_server_key, root)
        _ = self.http_forwarded_names  # reading it checks it
        check_groups("http_restricted_api", self.http_restricted_api)
