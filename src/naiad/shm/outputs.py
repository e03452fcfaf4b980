# SPDX-License-Identifier: Apache-2.0
"""Outputs that go into regions instead of the response."""

from collections.abc import Mapping

import numpy as np

from naiad.errors import InternalError
from naiad.requests import InferResponse, SharedMemoryRange
from naiad.shm.regions import Regions, Writable
from naiad.tensors import Array, encode_bytes


class SharedOutputs:
    """Where the outputs of one request go; a region that is unregistered meanwhile stays mapped."""

    __slots__ = ("_targets",)

    def __init__(self, regions: Regions, places: Mapping[str, SharedMemoryRange]) -> None:
        """Find the places of the outputs, by name.

        Raises:
            NaiadError: as `Regions.writable`.
        """
        self._targets: dict[str, Writable] = {name: regions.writable(place) for name, place in places.items()}

    def write(self, response: InferResponse) -> None:
        """Copy the outputs that have a place into it.

        Raises:
            InternalError: an output is larger than its place (Triton's text), or can't be copied to its GPU.
        """
        for name, datatype, _, data in response.outputs:
            target = self._targets.get(name)
            if target is None:
                continue
            raw = _raw(data, datatype)
            if len(raw) > len(target):
                raise InternalError(
                    f"shared memory size specified with the request for output '{name}' ({len(target)} bytes) should "
                    f"be at least {len(raw)} bytes to hold the results"
                )
            target.write(raw)


def _raw(data: Array, datatype: str) -> memoryview | bytes:
    if datatype == "BYTES":
        return encode_bytes(data)
    return np.ascontiguousarray(data).reshape(-1).data.cast("B") if data.size else b""
