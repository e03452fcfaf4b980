# SPDX-License-Identifier: Apache-2.0
"""Sockets and processes: the two front ends, the metrics endpoint, start, drain and stop.

`http` and `grpc` are the transports; what both use lies beside them (`listener`, `request_context`, `bodies`,
`slow_work`, `unsent`, `access`, `credentials`, `forwarding`) and imports neither. `app` is the one place that knows all
rooms and wires them together; `process` runs it until a signal comes, `embedded` inside another program.
"""
