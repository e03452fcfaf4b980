# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.errors import InvalidArgumentError, NotFoundError, UnsupportedError
from naiad.shm.cuda import CudaRegions
from naiad.shm.regions import Regions


def test_there_are_none_and_none_can_be_registered() -> None:
    cuda = CudaRegions(Regions(allowed=True))
    cuda.check_known("")
    cuda.unregister()
    with pytest.raises(NotFoundError, match="Unable to find cuda shared memory region: 'r'"):
        cuda.check_known("r")
    with pytest.raises(
        InvalidArgumentError, match="failed to register CUDA shared memory region: 'r', GPUs not supported"
    ):
        cuda.register("r")


def test_whether_shared_memory_is_allowed_is_asked_first() -> None:
    cuda = CudaRegions(Regions(allowed=False))
    with pytest.raises(UnsupportedError, match="Client shared memory is disabled"):
        cuda.register("r")
    with pytest.raises(UnsupportedError, match="Client shared memory is disabled"):
        cuda.unregister()
