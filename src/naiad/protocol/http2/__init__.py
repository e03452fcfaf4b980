# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 (RFC 9113) as a server speaks it: bytes to requests and back, without sockets or asyncio.

`connection` is the state machine of one connection, `outbox` its outbound half; `streams`, `heads`, `header_blocks`,
`frames`, `floods` and `limits` are their parts. May import `hpack` and the standard library.
"""
