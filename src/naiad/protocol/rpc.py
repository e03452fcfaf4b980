# SPDX-License-Identifier: Apache-2.0
"""Inference over gRPC: protobuf ⇄ values, in KServe v2's and Triton's form. The names the rest of Naiad uses."""

from naiad.protocol.rpc_request import Declaration, RpcRequest, read_infer, read_version
from naiad.protocol.rpc_response import (
    EncodedMessage,
    encode_infer,
    encode_stream_error,
    encode_stream_response,
)

__all__ = [
    "Declaration",
    "EncodedMessage",
    "RpcRequest",
    "encode_infer",
    "encode_stream_error",
    "encode_stream_response",
    "read_infer",
    "read_version",
]
