# SPDX-License-Identifier: Apache-2.0
"""Requests to register shared memory over HTTP: JSON → values.

Mirrors Triton's shared memory extensions. May import `errors` and `json_text`.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from naiad.errors import InvalidArgumentError
from naiad.protocol.rest import json_text

_CUDA_HANDLE_BYTES: Final = 64


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
    key = _required(members, "key")
    if type(key) is not str:
        raise json_text.access_error("", "key", key, "string")
    offset = _unsigned(members, "offset") if "offset" in members else 0
    _required(members, "byte_size")
    return RegionRequest(key, offset, _unsigned(members, "byte_size"))


class CudaRegionRequest(NamedTuple):
    """What a client wants registered: `size_bytes` bytes behind the interprocess handle, of the GPU `device_id`."""

    raw_handle: bytes
    device_id: int
    size_bytes: int


def decode_cuda_register_request(body: bytes | memoryview) -> CudaRegionRequest:
    """Read the body of `POST /v2/cudasharedmemory/region/{name}/register`.

    Raises:
        InternalError: not JSON, or a member within is missing or of another kind (Triton's texts).
        InvalidArgumentError: no handle, or not one of CUDA's (Triton's texts).
    """
    document = json_text.loads(body)
    members: Mapping[str, Any] = document if type(document) is dict else {}
    outer = _required(members, "raw_handle")
    encoded = outer.get("b64", json_text.MISSING) if type(outer) is dict else json_text.MISSING
    if type(encoded) is not str:
        raise json_text.access_error("", "b64", encoded, "string")
    size_bytes, device_id = (_unsigned(members, member) for member in ("byte_size", "device_id"))
    try:
        raw_handle = base64.b64decode(encoded)
    except ValueError:  # binascii.Error is one
        raw_handle = b""
    if len(raw_handle) != _CUDA_HANDLE_BYTES:
        raise InvalidArgumentError("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")
    return CudaRegionRequest(raw_handle, device_id, size_bytes)


def _required(members: Mapping[str, Any], member: str) -> Any:  # noqa: ANN401 - JSON is anything
    if member not in members:
        raise InvalidArgumentError(f"Shared memory register request has no '{member}' field")
    return members[member]


def _unsigned(members: Mapping[str, Any], member: str) -> int:
    value = members.get(member, json_text.MISSING)
    if type(value) is not int or value < 0:
        raise json_text.access_error("", member, value, "unsigned-integer")
    return value
