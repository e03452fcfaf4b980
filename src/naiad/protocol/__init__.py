# SPDX-License-Identifier: Apache-2.0
"""Bytes ⇄ values, for every protocol: no sockets, no asyncio, no clock, so that all of it is tested and fuzzed alone.

May import `config` and what lies below it.
"""
