# SPDX-License-Identifier: Apache-2.0
"""Bytes ⇄ values, for every protocol: no sockets, no asyncio, no clock, so that all of it is tested and fuzzed alone.

A folder for each protocol: `http1` and `http2` are the transports, `rest` is what KServe v2 and Triton say over the
one, `grpc` what they say over the other. Beside them lies what both say, each in its own form: `log_settings`,
`trace_settings`, `timing_fields`; and what both do with tensors: `classification`, `shared_memory`, `compression`.
May import `config` and what lies below it.
"""
