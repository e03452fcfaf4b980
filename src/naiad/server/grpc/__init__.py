# SPDX-License-Identifier: Apache-2.0
"""The gRPC front end: sockets (`listener`, `connection`), one `call`, and what is served (`services`, ...).

May import `engine`, `protocol` and what lies below them, and from `server.http` the body budget and the slow work.
"""
