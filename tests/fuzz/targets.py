# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: each target takes any bytes, and fails with whatever should not come out of the code under test."""

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutation import FrameMutator, Mutator
from tests.fuzz.sessions import session

from naiad.config.completion import complete_defaults, infer_backend
from naiad.config.pbtxt import dump, parse
from naiad.config.problems import ConfigError, Problem
from naiad.config.proto import service_pb2
from naiad.config.support import unsupported_features
from naiad.config.validation import validate
from naiad.engine.signature import Signature
from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.protocol.grpc.call import OK_TRAILERS
from naiad.protocol.grpc.request import read_infer
from naiad.protocol.http1.head import HttpError, Limits, RequestHead
from naiad.protocol.http1.requests import RequestReader
from naiad.protocol.http1.responses import render_head
from naiad.protocol.http2 import frames
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.frames import PREFACE
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.streams import Stream
from naiad.protocol.rest import documents
from naiad.protocol.rest.request import decode_index_request, decode_infer, parse_header_length
from naiad.protocol.rest.response import encode_error, encode_infer
from naiad.requests import InferResponse, OutputTensor
from naiad.snapshots import ModelMetadata
from naiad.tensors import DATATYPES


@dataclass(frozen=True)
class Target:
    """A function under fuzz, and pieces of the grammar of what it reads.

    `cases` are as many as the suite has time for; with more time there are more.
    """

    run: Callable[[bytes], None]
    tokens: Sequence[bytes]
    mutator: type[Mutator] | type[FrameMutator] = Mutator
    cases: int = 2500


def told(error: NaiadError, case: bytes) -> None:
    """Assert that an error can be told to a client: JSON that is text, without control characters, and not too long."""
    text = encode_error(str(error)).decode()
    assert json.loads(text) == {"error": str(error)}
    assert min(text) >= " "
    assert len(text) < 6 * len(case) + 2000, f"{len(text)} characters of error"


# -- HTTP/1.1

_LIMITS = Limits(
    head_bytes=4096, target_bytes=512, header_count=16, body_bytes=20_000, chunk_count=64, trailer_bytes=256
)


class _Body(bytearray):
    def append(self, data: memoryview) -> None:  # type: ignore[override]
        self.extend(data)


def _requests(pieces: Sequence[bytes]) -> list[tuple[RequestHead, bytes] | tuple[int, str]]:
    """Read a stream that comes in pieces; return heads with their bodies, and the error it ended with."""
    reader = RequestReader(_LIMITS)
    read: list[tuple[RequestHead, bytes] | tuple[int, str]] = []
    current: tuple[RequestHead, _Body] | None = None
    try:
        for piece in pieces:
            lent = bytearray(piece)
            reader.buffer.lend(lent, len(lent))
            while True:
                if current is None:
                    head = reader.next_head()
                    if head is None:
                        break
                    current = head, _Body()
                head, body = current
                if not reader.read_body(body):
                    break
                read.append((head, bytes(body)))
                current = None
            reader.buffer.keep()
            assert len(reader.buffer) <= _LIMITS.head_bytes + len(piece)
    except HttpError as error:
        told(error, b"".join(pieces))
        read.append((error.status, str(error)))
    return read


def http(data: bytes) -> None:
    """Read a stream of requests, whole and in pieces: they must be the same, and every head must make sense."""
    whole = _requests([data])
    for entry in whole:
        match entry:
            case (RequestHead() as head, bytes(body)):
                assert head.path.startswith("/") or head.path == "*"
                assert "?" not in head.path
                assert head.version in {"1.0", "1.1"}
                assert head.chunked or len(body) == head.content_length
                assert len(body) <= _LIMITS.body_bytes
                assert all(name == name.lower() for name in head.headers)
                assert b"\n" not in b"".join([*head.headers, *head.headers.values()])
            case (int(status), str()):
                assert render_head(status, (), 0, None, keep_alive=False).startswith(b"HTTP/1.1 ")
    cut = random.Random(len(data))
    pieces, rest = [], data
    while rest:
        step = cut.choice((1, 2, 7, 100))
        pieces.append(rest[:step])
        rest = rest[step:]
    cut_up = _requests(pieces)
    assert [entry for entry in cut_up if isinstance(entry[0], RequestHead)] == [
        entry for entry in whole if isinstance(entry[0], RequestHead)
    ]
    if len(cut_up) != len(whole):  # a head that grows too large may be refused before it has ended
        assert cut_up[-1][0] in {414, 431}


# -- Inference requests: a first line that is the header Inference-Header-Content-Length ("-": none), then the body

_MAX_INPUT_BYTES = 20_000


def _model(max_batch_size: int) -> tuple[ModelMetadata, Signature]:
    tensors = "\n".join(
        f'input {{ name: "I{name}" data_type: {row.config_name} dims: [ -1 ] optional: true }}\n'
        f'output {{ name: "O{name}" data_type: {row.config_name} dims: [ -1 ] }}'
        for name, row in DATATYPES.items()
    )
    signature = Signature.from_config(parse(f"max_batch_size: {max_batch_size}\n{tensors}", "c"), "m")
    metadata = ModelMetadata(
        "m", ("1",), "p", signature.metadata(signature.inputs), signature.metadata(signature.outputs), max_batch_size
    )
    return metadata, signature


_MODELS = (_model(0), _model(4))
_RAW = ModelMetadata("raw", ("1",), "p", _MODELS[0][0].inputs[:1], (), 0)
_LABELS = {"OFP32": ("cat", "dog")}


def rest(data: bytes) -> None:
    """Decode a request, hold it against models, and answer as an identity model would."""
    line, _, body = data.partition(b"\n")
    try:
        decode_index_request(body)
    except NaiadError as error:
        told(error, data)
    for metadata, signature in (*_MODELS, (_RAW, _MODELS[0][1])):
        try:
            length = parse_header_length(None if line == b"-" else line, len(body))
            request, encodings = decode_infer(memoryview(body), length, metadata, "", _MAX_INPUT_BYTES)
            bound = signature.bind(request)
            outputs = []
            for name in bound.outputs:
                array = bound.arrays.get(f"I{name[1:]}")
                if array is not None:
                    assert math.prod(array.shape) == array.size <= max(len(body), 1)
                    assert signature.max_batch_size == 0 or array.shape[0] == bound.rows
                    outputs.append(OutputTensor(name, name[1:], array.shape, array))
            encoded = encode_infer(InferResponse("m", "1", tuple(outputs), request.id), encodings, _LABELS)
            size = sum(map(len, encoded.buffers))
            assert (encoded.json_length or size) <= size <= 64 * len(body) + 10_000
        except NaiadError as error:
            told(error, data)


# -- config.pbtxt


def config(data: bytes) -> None:
    """Read, explain, complete, validate and show a config."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return  # told by the loader before it gets here
    lines = text.count("\n") + 1
    try:
        read = parse(text, "m/config.pbtxt")
        assert parse(dump(read), "m/config.pbtxt") == read
        unsupported_features(read, "m/config.pbtxt", text)
        inferred = infer_backend(read, ["model.onnx"], "m")
        validate(inferred, "m", "m/config.pbtxt", text, gpus=(0,))
        completed = complete_defaults(inferred, "m", gpus=(0,))
        documents.dumps(documents.model_config(completed))
        Signature.from_config(completed, "m")
    except NaiadError as error:
        told(error, data)
        for problem in error.problems if isinstance(error, ConfigError) else ():
            _check_problem(problem, lines)


def _check_problem(problem: Problem, lines: int) -> None:
    assert problem.message
    assert 0 <= problem.line <= lines
    assert str(problem).isprintable()


# -- HTTP/2: what a client says after its preface


class _Sink:
    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []

    def append(self, data: memoryview) -> None:
        self.data += data

    def room(self, most_bytes: int) -> memoryview | None:
        return None

    def advance(self, count: int) -> None:
        raise AssertionError("there was no room")

    def end(self) -> None:
        self.events.append("end")

    def reset(self) -> None:
        self.events.append("reset")

    def drained(self) -> None:
        self.events.append("drained")


def _http2(pieces: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, list[str]]], bool]:
    sinks: list[_Sink] = []

    def accept(stream: Stream) -> None:
        sinks.append(_Sink())
        stream.sink = sinks[-1]
        connection.respond(stream, OK_TRAILERS, (b"answer",), 6, OK_TRAILERS)

    connection = Connection(accept, Http2Limits(stream_window_bytes=1000, concurrent_streams=5))
    heard = b""
    for piece in (PREFACE, *pieces):
        connection.receive(memoryview(piece))
        heard += b"".join(connection.take_output())
    return heard, [(sink.data, sink.events) for sink in sinks], connection.is_broken


def http2(data: bytes) -> None:
    """Read frames, whole and byte by byte: both must come to the same, and what is said must be whole frames."""
    heard, sinks, is_broken = _http2([data])
    assert _http2([data[at : at + 1] for at in range(len(data))]) == (heard, sinks, is_broken)
    while heard:
        heard = heard[9 + int.from_bytes(heard[:3]) :]


# -- gRPC: the body of a ModelInfer call


def rpc(data: bytes) -> None:
    """Read a ModelInferRequest: what is read must be what protobuf reads, and nothing but errors may come of it."""
    try:
        request = read_infer(memoryview(data))
    except (InternalError, InvalidArgumentError):
        return
    whole = service_pb2.ModelInferRequest.FromString(data)
    assert (request.id, [bytes(raw) for raw in request.raws]) == (whole.id, list(whole.raw_input_contents))
    assert request.declaration.model_name == whole.model_name
    try:
        made = request.to_request()
    except NaiadError as error:
        told(error, data)
    else:
        assert [tensor.name for tensor in made.inputs] == [entry.name for entry in whole.inputs]


# -- what cases are made of: pieces of the grammars

_HTTP_TOKENS = tuple(
    b"GET |POST |HEAD |PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n|/|/v2?|*| HTTP/1.1\r\n| HTTP/1.0\r\n|\r\n|\r\n\r\n|\n|\r|: |:| "
    b"|\t|;e\r\n|abc|Host: h\r\n|Content-Length: 3\r\n|Transfer-Encoding: chunked\r\n|Transfer-Encoding: gzip, chunked"
    b"\r\n|Connection: close\r\n|Expect: 100-continue\r\n|0\r\n\r\n|1\r\nx\r\n|ffffffffffffffff\r\n|\x16\x03\x01".split(
        b"|"
    )
)
_REST_TOKENS = tuple(
    b'"inputs":|"outputs":|"parameters":|"name":|"shape":|"datatype":|"data":|"id":|"binary_data_size":|"classification":'
    b'|"binary_data":|"sequence_id":|"IFP32"|"FP32"|"BYTES"|{|}|[|]|,|:|null|true|false|NaN|1e400|"|\\|"\\ud800"|-\n|0\n'.split(
        b"|"
    )
)
_CONFIG_TOKENS = tuple(
    "{|}|[|]|<|>|:|,|;|\"|'|#|\n|\\|-|1|0.5|1e400|inf|nan|tRuE|müßte|\u2028|\x1b[31m|input |dims: |dims: [ -1 ]|name: "
    "|backend: |data_type: TYPE_FP32|TYPE_INVALID|max_batch_size: |instance_group |parameters |key: |value: |[ext.e]: 1"
    "|reshape { shape: [] }|version_policy { latest { num_versions: 0 } }".encode().split(b"|")
)

_BLOCK = encode_fields(((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b"te", b"trailers")))
_HTTP2_TOKENS = (
    frames.settings([]),
    frames.settings([(4, 3), (5, 16384), (1, 0)]),
    *(frames.frame(frames.HEADERS, flags, number, _BLOCK) for number in (1, 3) for flags in (0, 4, 5)),
    *(frames.frame(frames.DATA, flags, number, b"\3abcdef") for number in (1, 3) for flags in (0, 1, 8, 9)),
    *(frames.rst_stream(number, 8) for number in (1, 3)),
    *(frames.window_update(number, 7) for number in (0, 1)),
    frames.frame(frames.CONTINUATION, 4, 1, _BLOCK),
    frames.frame(frames.PING, 0, 0, bytes(8)),
    frames.goaway(0, 0),
)
_RPC_TOKENS = (
    *(
        b"\x0a\1m",
        b"\x12\0011",
        b"\x1a\1i",
        b"\x3a\4abcd",
        b"\x3a\0",
        b"\x22\5\x0a\1k\x12\0",
        b"\x32\3\x0a\1O",
        b"\xff",
        b"\x80",
    ),
    *(b"\x2a\x0d\x0a\1I\x12\4FP32\x1a\2\1\1", b"\x2a\x12\x0a\1I\x12\5INT32\x2a\6\x12\4\1\2\3\4"),
)

_SESSION_TOKENS = (
    *(frames.settings([pair]) for pair in ((1, 0), (1, 4096), (4, 0), (4, 1), (4, 1000), (4, 2**20), (4, 2**31 - 1))),
    *(frames.settings([pair]) for pair in ((4, 2**31), (5, 16_384), (5, 2**20), (5, 1))),
    *(frames.window_update(stream_id, by) for stream_id in (0, 1, 3) for by in (0, 1, 5000, 2**31 - 1)),
    *(frames.rst_stream(stream_id, 8) for stream_id in (1, 3, 5)),
    *(frames.frame(frames.DATA, flags, 1, b"") for flags in (0, frames.END_STREAM)),
    *(frames.frame(frames.DATA, 0, 1, b"\0\0\0\0" + bytes((size,)) + bytes(size)) for size in (0, 9, 200)),
    frames.frame(frames.DATA, 0, 1, b"\0\0\0\0\5" * 1000),
    frames.frame(frames.DATA, 0, 1, b"\0\0\1\x86\xa0" + bytes(16_000)),
    frames.frame(frames.PING, 0, 0, bytes(8)),
    frames.frame(frames.PING, frames.ACK, 0, b"keepaliv"),
    frames.goaway(0, 0),
    frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
    frames.frame(0x99, 0, 1, b"?"),
)

TARGETS: Mapping[str, Target] = {
    "http": Target(http, _HTTP_TOKENS),
    "http2": Target(http2, _HTTP2_TOKENS),
    "session": Target(session, _SESSION_TOKENS, FrameMutator, cases=500),
    "rpc": Target(rpc, _RPC_TOKENS),
    "rest": Target(rest, _REST_TOKENS),
    "config": Target(config, _CONFIG_TOKENS),
}

CORPUS = Path(__file__).with_name("corpus")
"""A folder for each target: good inputs, from which cases are made, and inputs that once went wrong."""
