# SPDX-License-Identifier: Apache-2.0
"""Loading and unloading at run time, which is off: models are loaded at start only. The texts are Triton's.

May import `errors`.
"""

from naiad.errors import NaiadError, UnavailableError, UnsupportedError


def no_repository_name() -> NaiadError:
    """Return what a client is told that names a repository."""
    return UnsupportedError("'repository_name' specification is not supported")


def refusal_to_load(repository_name: str = "") -> NaiadError:
    """Return what a client is told that asks to load or unload a model."""
    if repository_name:
        return no_repository_name()
    return UnavailableError("explicit model load / unload is not allowed if polling is enabled")
