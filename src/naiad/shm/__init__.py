# SPDX-License-Identifier: Apache-2.0
"""Shared memory of clients: regions that they register, and tensors that lie in them.

`regions` are known by name, whether of `system` memory or of `cuda` memory (by `cudart`); `outputs` go into them.
May import `errors`, `tensors`, `requests` and `snapshots`.
"""
