# SPDX-License-Identifier: Apache-2.0
"""Outputs into regions."""

import numpy as np
import pytest
from tests.shm.conftest import Shared

from naiad.errors import InternalError, NotFoundError
from naiad.requests import InferResponse, OutputTensor, SharedMemoryRange
from naiad.shm.outputs import SharedOutputs
from naiad.shm.regions import Regions
from naiad.shm.system import SystemRegions
from naiad.tensors import Array


@pytest.fixture
def regions(shared: Shared) -> Regions:
    made = Regions(allowed=True)
    SystemRegions(made).register("r", shared.name, 0, 64)
    return made


def response(data: Array, datatype: str) -> InferResponse:
    other = OutputTensor("OTHER", "INT8", (1,), np.ones(1, np.int8))
    return InferResponse("m", "1", (other, OutputTensor("OUT", datatype, data.shape, data)))


@pytest.mark.parametrize(
    ("data", "datatype", "raw"),
    [
        (np.array([[1, 2]], np.int32), "INT32", b"\x01\0\0\0\x02\0\0\0"),
        (np.array([1, 2, 3, 4], np.int8)[::2], "INT8", b"\x01\x03"),
        (np.array([b"ab", b""], object), "BYTES", b"\x02\0\0\0ab\0\0\0\0"),
        (np.empty((0, 4), np.float32), "FP32", b""),
    ],
)
def test_an_output_is_written_where_it_is_wanted_and_nowhere_else(
    regions: Regions, shared: Shared, data: Array, datatype: str, raw: bytes
) -> None:
    before = bytes(shared.buf[:64])
    SharedOutputs(regions, {"OUT": SharedMemoryRange("r", 8, 32)}).write(response(data, datatype))
    assert bytes(shared.buf[:64]) == before[:8] + raw + before[8 + len(raw) :]


def test_an_output_that_is_too_large_is_refused(regions: Regions, shared: Shared) -> None:
    before = bytes(shared.buf)
    outputs = SharedOutputs(regions, {"OUT": SharedMemoryRange("r", 0, 4)})
    with pytest.raises(InternalError) as caught:
        outputs.write(response(np.zeros(2, np.float32), "FP32"))
    assert str(caught.value) == (
        "shared memory size specified with the request for output 'OUT' (4 bytes) should be at least 8 bytes to hold "
        "the results"
    )
    assert bytes(shared.buf) == before


def test_a_region_may_be_unregistered_while_its_request_is_under_way(regions: Regions, shared: Shared) -> None:
    outputs = SharedOutputs(regions, {"OUT": SharedMemoryRange("r", 0, 4)})
    SystemRegions(regions).unregister("r")
    outputs.write(response(np.array([9], np.int32), "INT32"))
    assert bytes(shared.buf[:4]) == b"\x09\0\0\0"


def test_places_are_found_before_there_is_an_output(regions: Regions) -> None:
    with pytest.raises(NotFoundError):
        SharedOutputs(regions, {"OUT": SharedMemoryRange("gone", 0, 4)})
