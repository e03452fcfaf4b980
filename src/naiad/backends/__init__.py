# SPDX-License-Identifier: Apache-2.0
"""Runtimes, one file or folder each, behind the interface in `base`; `registry` finds them by name.

May import `config` and what lies below it; only a runtime's own file or folder imports that runtime.
"""
