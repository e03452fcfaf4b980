# SPDX-License-Identifier: Apache-2.0
"""The HTTP front end: sockets (`listener`, `connection`), one `exchange`, and what is served (`routes`, `handlers`).

May import `engine`, `protocol` and what lies below them.
"""
