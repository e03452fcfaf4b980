# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests to register shared memory, against what Triton 2.51 answered to the same ones."""

import base64
import json

import pytest

from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.protocol.rest.shared_memory import (
    CudaRegionRequest,
    RegionRequest,
    decode_cuda_register_request,
    decode_register_request,
)

_NOT_UNSIGNED = "attempt to access JSON non-unsigned-integer as unsigned-integer"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"key":"/k","byte_size":4}', RegionRequest("/k", 0, 4)),
        (b'{"key":"k","offset":4096,"byte_size":18446744073709551615}', RegionRequest("k", 4096, 2**64 - 1)),
    ],
)
def test_what_is_to_be_registered(body: bytes, wanted: RegionRequest) -> None:
    assert decode_register_request(body) == wanted


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"", InternalError, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b"{", InternalError, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        (b"[]", InvalidArgumentError, "Shared memory register request has no 'key' field"),
        (b'{"byte_size":4}', InvalidArgumentError, "Shared memory register request has no 'key' field"),
        (b'{"key":"/k"}', InvalidArgumentError, "Shared memory register request has no 'byte_size' field"),
        (b'{"key":1}', InternalError, "attempt to access JSON non-string as string"),
        (b'{"key":"/k","offset":-1}', InternalError, _NOT_UNSIGNED),
        (b'{"key":1,"byte_size":4}', InternalError, "attempt to access JSON non-string as string"),
        (b'{"key":"/k","byte_size":"4"}', InternalError, _NOT_UNSIGNED),
        (b'{"key":"/k","byte_size":-4}', InternalError, _NOT_UNSIGNED),
        (b'{"key":"/k","byte_size":4.0}', InternalError, _NOT_UNSIGNED),
        (b'{"key":"/k","byte_size":4,"offset":-1}', InternalError, _NOT_UNSIGNED),
        (b'{"key":"/k","byte_size":4,"offset":null}', InternalError, _NOT_UNSIGNED),
    ],
)
def test_what_is_wrong_is_told_in_tritons_words(body: bytes, kind: type[NaiadError], text: str) -> None:
    with pytest.raises(kind) as caught:
        decode_register_request(body)
    assert str(caught.value) == text


_HANDLE = bytes(range(64))
_ENCODED = base64.b64encode(_HANDLE).decode()


@pytest.mark.parametrize("encoded", [_ENCODED, f"{_ENCODED[:40]}\n{_ENCODED[40:]}\n"])
def test_what_of_a_gpu_is_to_be_registered(encoded: str) -> None:
    body = {"raw_handle": {"b64": encoded}, "device_id": 1, "byte_size": 2**64 - 1}
    assert decode_cuda_register_request(json.dumps(body).encode()) == CudaRegionRequest(_HANDLE, 1, 2**64 - 1)


_NO_HANDLE = "Shared memory register request has no 'raw_handle' field"
_BAD_HANDLE = "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t"


def _absent(member: str) -> str:
    return f"attempt to access non-existing object member '{member}'"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"{", InternalError, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        (b"[]", InvalidArgumentError, _NO_HANDLE),
        (b'{"byte_size":4,"device_id":0}', InvalidArgumentError, _NO_HANDLE),
        (b'{"raw_handle":3}', InternalError, _absent("b64")),
        (b'{"raw_handle":{}}', InternalError, _absent("b64")),
        (b'{"raw_handle":{"b64":3}}', InternalError, "attempt to access JSON non-string as string"),
        (b'{"raw_handle":{"b64":"AAAA"}}', InternalError, _absent("byte_size")),
        (b'{"raw_handle":{"b64":"AAAA"},"byte_size":4}', InternalError, _absent("device_id")),
        (b'{"raw_handle":{"b64":"AAAA"},"byte_size":-4,"device_id":0}', InternalError, _NOT_UNSIGNED),
        (b'{"raw_handle":{"b64":"AAAA"},"byte_size":4,"device_id":"0"}', InternalError, _NOT_UNSIGNED),
        (b'{"raw_handle":{"b64":"AAAA"},"byte_size":4,"device_id":0}', InvalidArgumentError, _BAD_HANDLE),
        (b'{"raw_handle":{"b64":"A?AA"},"byte_size":4,"device_id":0}', InvalidArgumentError, _BAD_HANDLE),
        (b'{"raw_handle":{"b64":"A"},"byte_size":4,"device_id":0}', InvalidArgumentError, _BAD_HANDLE),
        ('{"raw_handle":{"b64":"ä"},"byte_size":4,"device_id":0}'.encode(), InvalidArgumentError, _BAD_HANDLE),
    ],
)
def test_what_is_wrong_with_a_gpus_is_told_in_tritons_words(body: bytes, kind: type[NaiadError], text: str) -> None:
    with pytest.raises(kind) as caught:
        decode_cuda_register_request(body)
    assert str(caught.value) == text
