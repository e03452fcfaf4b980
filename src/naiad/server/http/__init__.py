# SPDX-License-Identifier: Apache-2.0
"""The HTTP front end: from its sockets to what is served there.

`listener` and `connection` are the sockets, `settings` what they allow, an `exchange` is one request and its response;
`routes` is the table of what is served, `handlers` serve it. May import `transport`, `engine`, `protocol` and what lies
below them.
"""
