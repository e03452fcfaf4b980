# SPDX-License-Identifier: Apache-2.0
"""What a client of gRPC says, as bytes, to be cut off, repeated or left unread."""

from typing import Any

from naiad.config.proto import service_pb2
from naiad.protocol.http2 import frames
from naiad.protocol.http2.header_blocks import encode_fields


def greeting(window_bytes: int = frames.DEFAULT_WINDOW_BYTES) -> bytes:
    """Begin a connection; `window_bytes` is what the server may send before it is told to go on."""
    more = window_bytes - frames.DEFAULT_WINDOW_BYTES
    return (
        frames.PREFACE
        + frames.settings([(frames.INITIAL_WINDOW_SIZE, window_bytes)])
        + (frames.window_update(0, more) if more else b"")
    )


def call(method: str, stream_id: int = 1) -> bytes:
    """Begin a call of Triton's service."""
    block = encode_fields(
        (
            *((b":method", b"POST"), (b":scheme", b"http")),
            (b":path", f"/inference.GRPCInferenceService/{method}".encode()),
            *((b"content-type", b"application/grpc"), (b"te", b"trailers")),
        )
    )
    return frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)


def data(message: Any, stream_id: int = 1, *, ends: bool = False) -> bytes:
    """Send a message; `ends` if it is the call's last."""
    coded = message.SerializeToString()
    body = b"\0" + len(coded).to_bytes(4) + coded
    pieces = [body[start : start + 2**20] for start in range(0, len(body), 2**20)]
    flags = [0] * (len(pieces) - 1) + [frames.END_STREAM if ends else 0]
    return b"".join(
        frames.frame(frames.DATA, flag, stream_id, piece) for flag, piece in zip(flags, pieces, strict=True)
    )


def request(model: str, size_bytes: int = 16) -> Any:
    """Return an inference request for one of the models."""
    made = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[bytes(size_bytes)])
    made.inputs.add(name="X", datatype="FP32", shape=[size_bytes // 4])
    return made
