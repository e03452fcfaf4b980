# SPDX-License-Identifier: Apache-2.0
"""Shared memory of clients: regions that they register, and tensors that lie in them.

May import `errors`, `tensors`, `requests` and `snapshots`.
"""
