# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests to register shared memory, against what Triton 2.51 answered to the same ones."""

import pytest

from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.protocol.shared_memory import RegionRequest, decode_register_request

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
