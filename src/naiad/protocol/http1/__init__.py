# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 (RFC 9112) as a server speaks it: bytes to requests, responses to bytes, without sockets or asyncio.

`requests` is the inbound half of a connection, which reads a request's `head` and joins its `body`; `responses` is the
outbound one. May import `httptools`, `errors` and the standard library.
"""
