# SPDX-License-Identifier: Apache-2.0
"""CUDA shared memory, of which there is never any: clients are answered as by a Triton without GPU support.

May import `errors` and its neighbour `regions`.
"""

from typing import NoReturn

from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.shm.regions import Regions


class CudaRegions:
    """The CUDA regions beside the system's `regions`, which tell whether clients may register any."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    def check_known(self, name: str) -> None:
        """Raise Triton's error for a region that is asked about by its name.

        Raises:
            NotFoundError: there is a `name`.
        """
        if name:
            raise NotFoundError(f"Unable to find cuda shared memory region: '{name}'")

    def register(self, name: str) -> NoReturn:
        """Refuse to register a region.

        Raises:
            InvalidArgumentError: always, unless shared memory is not allowed.
            UnsupportedError: it is not.
        """
        self._regions.check_allowed()
        raise InvalidArgumentError(f"failed to register CUDA shared memory region: '{name}', GPUs not supported")

    def unregister(self) -> None:
        """Forget whatever there is: nothing.

        Raises:
            UnsupportedError: shared memory is not allowed.
        """
        self._regions.check_allowed()
