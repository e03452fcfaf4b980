# SPDX-License-Identifier: Apache-2.0
"""Sockets and processes: the two front ends, the metrics endpoint, start, drain and stop.

`http` and `grpc` are the front ends, `transport` is what both have in common. `app` is the one place that knows all
rooms and wires them together; `process` runs it until a signal comes, `embedded` inside another program.
"""
