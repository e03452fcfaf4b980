# SPDX-License-Identifier: Apache-2.0
"""Triton's trace extension: which requests are traced (`tracer`), what is noted of one (`trace`), and where it goes.

A `writer` takes finished traces off the event loop, to Triton's files (`files`) or to a collector (`spans`).
May import `snapshots`, `requests` and what lies below them.
"""
