# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 (RFC 9113) as a server speaks it: bytes to requests and back, without sockets or asyncio.

`connection` is what an owner holds. After the `greeting` it cuts what comes into frames, read by `header_frames`
(requests open), `data_frames` (their bodies) and `control_frames` (all else); `stream_table` knows the `streams`, and
`outbox` is the way out. Below them: `header_blocks` and `heads`, the wire (`frames`), what may go wrong (`faults`) and
how much of what is allowed (`limits`, `floods`). May import `hpack` and the standard library.
"""
