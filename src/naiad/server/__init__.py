# SPDX-License-Identifier: Apache-2.0
"""Sockets and processes: the HTTP front end, the metrics endpoint, start, drain and stop.

`app` is the one place that knows all rooms and wires them together.
"""
