# SPDX-License-Identifier: Apache-2.0
"""What a client of an HTTP/2 connection may ask for. Imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` tokens that fills up again at `per_s` a second."""

    burst: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """The limits of one connection; what is beyond them ends the stream or the connection.

    Sizes are in bytes.

    Attributes:
        max_frame_bytes: Largest DATA frame (SETTINGS_MAX_FRAME_SIZE); what comes in large frames is received in its
            place. Other frames are held to `header_block_bytes`.
        stream_window_bytes: What a client may send on a stream before it is told to go on; an image in one go.
        connection_window_bytes: The same for all its streams together.
        concurrent_streams: More are refused (REFUSED_STREAM), which a client may try again.
        header_list_bytes: Decoded header fields, each counted with 32 bytes more (SETTINGS_MAX_HEADER_LIST_SIZE).
        header_block_bytes: The same as coded, over all frames.
        continuation_frames: CONTINUATION frames of one header block (CVE-2024-27316).
        resets: Streams that end by RST_STREAM, the client's or one it provoked, before their answer was complete
            (rapid reset, CVE-2023-44487).
        control_frames: PING, SETTINGS, PRIORITY and unknown frames, and DATA frames without data that end nothing
            (CVE-2019-9512, -9515, -9518).
        refusals: Streams beyond `concurrent_streams`.
        unsent_control_bytes: Answers to control frames that a client leaves unread.
        stall_s: In every such span a stream that has something to send must get rid of `stall_progress_bytes`, or all
            of it; a client with a tiny window, or none, would keep it in memory (CVE-2019-9511, -9517).
        stall_progress_bytes: See `stall_s`.
    """

    max_frame_bytes: int = 4 * 1024 * 1024
    stream_window_bytes: int = 16 * 1024 * 1024
    connection_window_bytes: int = 64 * 1024 * 1024
    concurrent_streams: int = 1024
    header_list_bytes: int = 16 * 1024
    header_block_bytes: int = 16 * 1024
    continuation_frames: int = 8
    resets: Rate = Rate(1000, 100.0)
    control_frames: Rate = Rate(1000, 200.0)
    refusals: Rate = Rate(1000, 100.0)
    unsent_control_bytes: int = 64 * 1024
    stall_s: float = 60.0
    stall_progress_bytes: int = 1024


@dataclass(frozen=True)
class PingPolicy:
    """How often a client may send PING frames while nothing is sent to it (gRPC's ping strikes).

    A ping that comes less than `min_interval_s` after the one before (while no stream is open `min_idle_interval_s`) is
    a strike; what the server sends on a stream forgives all of them. More than `max_strikes` end the connection; 0
    allows any number.
    """

    min_interval_s: float = 300.0
    min_idle_interval_s: float = 7200.0
    max_strikes: int = 2
