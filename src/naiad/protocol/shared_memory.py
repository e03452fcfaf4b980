# SPDX-License-Identifier: Apache-2.0
"""How the readers of requests ask for what lies in shared memory. May import `errors` and `requests`."""

from collections.abc import Callable

from naiad.errors import NotFoundError
from naiad.requests import SharedMemoryRange

ViewRange = Callable[[SharedMemoryRange], memoryview]
"""Returns the bytes there; raises `NotFoundError` or `InvalidArgumentError` if there are none."""


def no_regions(place: SharedMemoryRange) -> memoryview:
    """Find nothing: the `ViewRange` of a reader that has no shared memory.

    Raises:
        NotFoundError: always.
    """
    raise NotFoundError(f"Unable to find shared memory region: '{place.region}'")
