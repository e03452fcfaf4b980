# SPDX-License-Identifier: Apache-2.0
"""The HTTP front end: sockets (`listener`, `connection`), a request (`exchange`), what it serves (`routes`, `handlers`).

May import `engine`, `protocol` and what lies below them.
"""
