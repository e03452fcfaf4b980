# SPDX-License-Identifier: Apache-2.0
"""The options of the gRPC port. May import `errors` and what lies beside this folder."""

import re
from dataclasses import dataclass
from functools import partial

from naiad.options.certificates import check_certificates
from naiad.options.flags import MAX_INT, MAX_PORT, Flag, option
from naiad.options.values import RestrictedGroup, check_groups, parse_name_pattern

_flag = partial(Flag, "gRPC")


@dataclass(frozen=True, kw_only=True)
class GrpcOptions:
    """The rows under the heading gRPC."""

    allow_grpc: bool = option(True, _flag("Listen for gRPC calls."))
    grpc_address: str = option("127.0.0.1", _flag("Address to listen on; 0.0.0.0 opens the server to the network."))
    grpc_port: int = option(8001, _flag("Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT))
    reuse_grpc_port: bool = option(False, _flag("Share the port with other processes (SO_REUSEPORT)."))
    grpc_infer_thread_count: int = option(
        2,
        _flag(
            "Accepted for Triton's sake: one event loop serves all connections.",
            minimum=2,
            maximum=128,
            note="has no effect: one event loop serves all gRPC connections",
        ),
    )
    grpc_infer_allocation_pool_size: int = option(
        8,
        _flag(
            "Accepted for Triton's sake: answers need no pool.",
            minimum=0,
            maximum=MAX_INT,
            note="has no effect: answers need no pool",
        ),
    )
    grpc_max_response_pool_size: int = option(
        MAX_INT,
        _flag(
            "Accepted for Triton's sake: answers need no pool.",
            minimum=1,
            maximum=MAX_INT,
            note="has no effect: answers need no pool",
        ),
    )
    grpc_use_ssl: bool = option(False, _flag("Speak TLS, with --grpc-server-cert and --grpc-server-key."))
    grpc_use_ssl_mutual: bool = option(
        False, _flag("Speak TLS, and let in only clients that --grpc-root-cert vouches for.")
    )
    grpc_server_cert: str = option("", _flag("PEM file of the server's certificate.", path="file"))
    grpc_server_key: str = option("", _flag("PEM file of the key to --grpc-server-cert.", path="file"))
    grpc_root_cert: str = option("", _flag("PEM file of the certificates that vouch for clients.", path="file"))
    grpc_infer_response_compression_level: str = option(
        "none",
        _flag(
            "Compress the answers to clients that understand it.",
            choices=("none", "low", "medium", "high"),
        ),
    )
    grpc_keepalive_time: int = option(
        7_200_000,
        _flag("After how long without a sign of life to ask for one.", unit="ms", minimum=1, maximum=MAX_INT),
    )
    grpc_keepalive_timeout: int = option(
        20_000,
        _flag("How long to wait for that sign before closing.", unit="ms", minimum=1, maximum=MAX_INT),
    )
    grpc_keepalive_permit_without_calls: bool = option(
        False, _flag("Let signs of life be asked for, both ways, while no call is under way.")
    )
    grpc_http2_max_pings_without_data: int = option(
        2,
        _flag(
            "How often to ask for a sign of life without anything else to send; 0 is any number.",
            minimum=0,
            maximum=MAX_INT,
        ),
    )
    grpc_http2_min_recv_ping_interval_without_data: int = option(
        300_000,
        _flag(
            "A client that is sent nothing and pings more often than this gets a strike.",
            unit="ms",
            minimum=0,
            maximum=MAX_INT,
        ),
    )
    grpc_http2_max_ping_strikes: int = option(
        2, _flag("Connections with more strikes are closed; 0 is any number.", minimum=0, maximum=MAX_INT)
    )
    grpc_max_connection_age: int = option(
        0, _flag("Send connections of this age away; 0 is any age.", unit="ms", minimum=0, maximum=MAX_INT)
    )
    grpc_max_connection_age_grace: int = option(
        0,
        _flag(
            "How long calls on a connection that was sent away may go on; 0 is any time.",
            unit="ms",
            minimum=0,
            maximum=MAX_INT,
        ),
    )
    grpc_max_bytes_in_flight: int = option(
        2**30, _flag("Most bytes of messages held at a time.", unit="bytes", minimum=1, tritons=False)
    )
    grpc_restricted_protocol: tuple[RestrictedGroup, ...] = option(
        (),
        _flag(
            "The same as --http-restricted-api for gRPC: CATEGORY,CATEGORY:KEY=VALUE; the metadata to send is "
            "triton-grpc-protocol-KEY.",
            repeatable=True,
        ),
    )
    grpc_header_forward_pattern: str = option(
        "",
        _flag(
            "The same as --http-header-forward-pattern for metadata, the names of which are in lower case.",
        ),
    )

    @property
    def grpc_uses_tls(self) -> bool:
        """Whether gRPC speaks TLS; as in Triton, either flag turns it on."""
        return self.grpc_use_ssl or self.grpc_use_ssl_mutual

    @property
    def grpc_forwarded_names(self) -> re.Pattern[bytes] | None:
        """What is found in the names of the metadata that models are handed; None without a pattern."""
        return parse_name_pattern("grpc_header_forward_pattern", self.grpc_header_forward_pattern)

    def check_grpc(self) -> None:
        """Check what the rows of the table cannot tell.

        Raises:
            InvalidArgumentError: a certificate or key is missing, a pattern or a restricted category is wrong.
        """
        if self.grpc_uses_tls:
            root = self.grpc_root_cert if self.grpc_use_ssl_mutual else None
            check_certificates("gRPC", self.grpc_server_cert, self.grpc_server_key, root)
        _ = self.grpc_forwarded_names  # reading it checks it
        check_groups("grpc_restricted_protocol", self.grpc_restricted_protocol)
