# SPDX-License-Identifier: Apache-2.0
"""What the protocols need to know of shared memory: how to ask for what lies in it, and how regions are registered.

Mirrors Triton's system shared memory extension over HTTP. May import `errors`, `requests` and `json_text`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.protocol import json_text
from naiad.requests import SharedMemoryRange

ViewRange = Callable[[SharedMemoryRange], memoryview]
"""Returns the bytes there; raises `NotFoundError` or `InvalidArgumentError` if there are none."""


def no_regions(place: SharedMemoryRange) -> memoryview:
    """Find nothing: the `ViewRange` of a reader that has no shared memory.

    Raises:
        NotFoundError: always.
    """
    raise NotFoundError(f"Unable to find shared memory region: '{place.region}'")


class RegionRequest(NamedTuple):
    """What a client wants registered: `size_bytes` bytes of the object `key`, from `offset` on."""

    key: str
    offset: int
    size_bytes: int


def decode_register_request(body: bytes | memoryview) -> RegionRequest:
    """Read the body of `POST /v2/systemsharedmemory/region/{name}/register`.

    Raises:
        InternalError: not JSON, or a member of another kind (Triton's texts).
        InvalidArgumentError: a member is missing (Triton's texts).
    """
    document = json_text.loads(body)
    members: Mapping[str, Any] = document if type(document) is dict else {}
    for member in ("key", "byte_size"):
        if member not in members:
            raise InvalidArgumentError(f"Shared memory register request has no '{member}' field")
    if type(members["key"]) is not str:
        raise json_text.access_error("", "key", members["key"], "string")
    sizes = [members.get("offset", 0), members["byte_size"]]
    for size in sizes:
        if type(size) is not int or size < 0:
            raise json_text.access_error("", "", size, "unsigned-integer")
    return RegionRequest(members["key"], *sizes)
