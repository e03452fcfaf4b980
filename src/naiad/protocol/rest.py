# SPDX-License-Identifier: Apache-2.0
"""Inference over HTTP: bytes ⇄ values, in KServe v2's and Triton's form. The names the rest of Naiad uses."""

from naiad.protocol.rest_request import (
    DecodedInfer,
    OutputEncodings,
    decode_index_request,
    decode_infer,
    parse_header_length,
)
from naiad.protocol.rest_response import EncodedInfer, encode_error, encode_infer

__all__ = [
    "DecodedInfer",
    "EncodedInfer",
    "OutputEncodings",
    "decode_index_request",
    "decode_infer",
    "encode_error",
    "encode_infer",
    "parse_header_length",
]
