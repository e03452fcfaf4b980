# SPDX-License-Identifier: Apache-2.0
"""The rows of the table of options, a module for each heading of its documentation.

Each is a dataclass whose fields carry a `Flag`, with what follows from these options alone. May import `errors` and
what lies beside this folder, but for `table`.
"""
