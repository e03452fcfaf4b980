# SPDX-License-Identifier: Apache-2.0
"""The gRPC front end: from its sockets to what is served there.

`listener` and `connection` are the sockets, `settings` what they allow; a `call` is one request and its answers;
`services` is the table of what is served, a `method` for each path, and `handlers` serve it. May import `transport`,
`engine`, `protocol` and what lies below them.
"""
