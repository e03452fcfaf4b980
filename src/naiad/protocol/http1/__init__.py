# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 (RFC 9112) as a server speaks it: bytes to requests, responses to bytes, without sockets or asyncio.

`requests` is the inbound half of a connection, which reads a request's `head` and joins its `body`, and `responses` the
outbound one; `content_coding` compresses. May import `httptools`, `errors`, `protocol.compression` and the standard
library.
"""
