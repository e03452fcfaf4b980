# SPDX-License-Identifier: Apache-2.0
"""Calls of Triton's gRPC service, sent to the real Triton and to Naiad: status, text and message must be the same."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from tests.conformance.conftest import Servers
from tests.conformance.repositories import MODELS
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

_TIMEOUT_S = 30
Request = pb.ModelInferRequest
FLOATS = np.arange(16, dtype=np.float32).tobytes()


class Case(NamedTuple):
    """`method` is called with `message`; `ok` says whether Triton answers well."""

    method: str
    message: Message
    ok: bool


def infer(change: Callable[[Request], object] = lambda _: None, *, raw: bool = True, model: str = "batched") -> Request:
    made = Request(model_name=model)
    made.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 16])
    if raw:
        made.raw_input_contents.append(FLOATS)
    change(made)
    return made


def typed(field: str, values: Sequence[object], datatype: str = "FP32") -> Request:
    made = infer(raw=False)
    made.inputs[0].datatype = datatype
    getattr(made.inputs[0].contents, field).extend(values)
    return made


def parameter(key: str, kind: str, value: object) -> Request:
    return infer(lambda made: setattr(made.parameters[key], kind, value))


def output(*parameters: tuple[str, str, object], name: str = "OUTPUT0") -> Request:
    made = infer()
    wanted = made.outputs.add(name=name)
    for key, kind, value in parameters:
        setattr(wanted.parameters[key], kind, value)
    return made


def in_region(*parameters: tuple[str, str, object], contents: bool = False) -> Request:
    made = infer(raw=False)
    for key, kind, value in parameters:
        setattr(made.inputs[0].parameters[key], kind, value)
    if contents:
        made.inputs[0].contents.fp32_contents.append(1)
    return made


def every(name: str, field: str, values: Sequence[object]) -> Request:
    made = Request(model_name="every")
    tensor = made.inputs.add(name=f"IN_{name}", datatype="BYTES" if name == "STRING" else name, shape=[1, len(values)])
    getattr(tensor.contents, field).extend(values)
    made.outputs.add(name=f"OUT_{name}")
    return made


def failing(version: str = "") -> Request:
    made = Request(model_name="failing", model_version=version, id="7", raw_input_contents=[FLOATS[:4]])
    made.inputs.add(name="INPUT0", datatype="FP32", shape=[1])
    return made


def no_classes(version: str = "") -> Request:
    """Wants what a BOOL does not have, which shows when the answer is there."""
    made = Request(model_name="every", model_version=version, id="7", raw_input_contents=[b"\0\1"])
    made.inputs.add(name="IN_BOOL", datatype="BOOL", shape=[1, 2])
    made.outputs.add(name="OUT_BOOL").parameters["classification"].int64_param = 1
    return made


def log_setting(name: str, kind: str, value: object) -> pb.LogSettingsRequest:
    made = pb.LogSettingsRequest()
    setattr(made.settings[name], kind, value)
    return made


def trace_setting(name: str, values: Sequence[str], model: str = "") -> pb.TraceSettingRequest:
    made = pb.TraceSettingRequest(model_name=model)
    made.settings[name].value.extend(values)
    return made


REGION, SIZE = ("shared_memory_region", "string_param", "r"), ("shared_memory_byte_size", "int64_param", 64)


def both_kinds(first: str, second: str) -> Request:
    made = typed("fp32_contents", [])
    for field in (first, second):
        getattr(made.inputs[0].contents, field).append(b"x" if field == "bytes_contents" else 1)
    return made


def strings(raw: bytes) -> Request:
    made = Request(model_name="text", raw_input_contents=[raw])
    made.inputs.add(name="INPUT0", datatype="BYTES", shape=[2])
    return made


def _shape(*dims: int, model: str = "batched") -> Request:
    made = infer(model=model)
    del made.inputs[0].shape[:]
    made.inputs[0].shape.extend(dims)
    return made


def _twice(made: Request) -> None:
    made.inputs.add().CopyFrom(made.inputs[0])
    made.raw_input_contents.append(FLOATS)


def repeat(values: Sequence[int], request_id: str = "", version: str = "", *, told_last: bool = False) -> Request:
    """A request to the decoupled model, which answers with a response for each value and an error for a 13.

    One at a time: the real Triton may crash when two have their last response at once.
    """
    made = Request(model_name="repeat", id=request_id, model_version=version)
    for name, array in (
        ("IN", np.array(values, np.int32)),
        ("DELAY", np.zeros(len(values), np.uint32)),
        ("WAIT", np.zeros(1, np.uint32)),
    ):
        made.inputs.add(name=name, datatype="INT32" if name == "IN" else "UINT32", shape=array.shape)
        made.raw_input_contents.append(array.tobytes())
    if told_last:
        made.parameters["triton_enable_empty_final_response"].bool_param = True
    return made


def with_parameters() -> Request:
    made = Request(model_name="parameters")
    made.parameters["n"].int64_param = 5
    return made


_NOT_SERVED = (
    *(("nobody", ""), ("nobody", "1"), ("broken", ""), ("broken", "1"), ("picked", "1"), ("fixed", "2")),
    *(("fixed", "-1"), ("fixed", "x"), ("fixed", "9" * 20), ("versions/versions/1", "")),
)
"""Models and versions that there are not."""

CASES: dict[str, Case] = {
    "raw": Case("ModelInfer", infer(lambda made: setattr(made, "id", "7")), True),
    "typed": Case("ModelInfer", typed("fp32_contents", [1.0] * 16), True),
    "surplus raw": Case("ModelInfer", infer(lambda made: made.raw_input_contents.append(b"x")), True),
    "no data": Case("ModelInfer", infer(raw=False), False),
    "both": Case("ModelInfer", infer(lambda made: made.inputs[0].contents.fp32_contents.append(1)), False),
    "empty contents": Case("ModelInfer", infer(lambda made: made.inputs[0].contents.SetInParent(), raw=False), False),
    "short contents": Case("ModelInfer", typed("fp32_contents", [1.0] * 15), False),
    **{
        f"{field} as FP32": Case("ModelInfer", typed(field, [value]), False)
        for field, value in (
            *(("bool_contents", True), ("int_contents", 1), ("int64_contents", 1), ("uint_contents", 1)),
            *(("uint64_contents", 1), ("fp64_contents", 1.0), ("bytes_contents", b"x")),
        )
    },
    "FP32 contents as XX": Case("ModelInfer", typed("fp32_contents", [1.0], "XX"), False),
    "FP32 contents as FP16": Case("ModelInfer", typed("fp32_contents", [1.0], "FP16"), False),
    "int contents as UINT8": Case("ModelInfer", typed("int_contents", [1], "UINT8"), False),
    **{
        f"typed {name}": Case("ModelInfer", every(name, field, values), True)
        for name, field, values in (
            ("BOOL", "bool_contents", [True, False]),
            ("INT8", "int_contents", [127, -128, 300]),
            ("INT16", "int_contents", [-5, 70000]),
            ("INT32", "int_contents", [2**31 - 1]),
            ("INT64", "int64_contents", [-(2**63)]),
            ("UINT8", "uint_contents", [255, 256]),
            ("UINT16", "uint_contents", [65535, 65536]),
            ("UINT32", "uint_contents", [2**32 - 1]),
            ("UINT64", "uint64_contents", [2**64 - 1]),
            ("FP32", "fp32_contents", [0.5]),
            ("FP64", "fp64_contents", [0.1]),
            ("STRING", "bytes_contents", [b"a", b"", b"\xff\0"]),
        )
    },
    "contents of two kinds": Case("ModelInfer", both_kinds("fp32_contents", "bytes_contents"), False),
    "contents of two kinds, the first wrong": Case("ModelInfer", both_kinds("int_contents", "fp32_contents"), False),
    **{
        f"shape {dims} of {model}": Case("ModelInfer", _shape(*dims, model=model), False)
        for model, dims in (
            *(("batched", (1, -1)), ("batched", (-1, 15)), ("batched", (1, 16, -1))),
            *(("fixed", (-1,)), ("fixed", (1, -1)), ("matrix", (1, 3, -1)), ("matrix", (1, -1, 3))),
        )
    },
    **{
        f"strings {raw!r}": Case("ModelInfer", strings(raw), False)
        for raw in (b"\5\0\0\0ab", b"\0\0\0\0" * 2 + b"\5", b"\0\0\0\0" * 2 + b"\xff" * 4, b"\0\0\0\0" + b"\5")
    },
    "datatype": Case("ModelInfer", infer(lambda made: setattr(made.inputs[0], "datatype", "XX")), False),
    "input name": Case("ModelInfer", infer(lambda made: setattr(made.inputs[0], "name", "X")), False),
    "input twice": Case("ModelInfer", infer(_twice), False),
    "no inputs": Case("ModelInfer", Request(model_name="batched"), False),
    "no model": Case("ModelInfer", Request(), False),
    "shape": Case("ModelInfer", _shape(1, 4), False),
    "no batch dimension": Case("ModelInfer", _shape(), False),
    "batch too large": Case("ModelInfer", _shape(9, 16), False),
    "byte size": Case("ModelInfer", infer(lambda made: made.raw_input_contents.__setitem__(0, b"1234")), False),
    "unknown model": Case("ModelInfer", infer(model="nobody"), False),
    "model that did not load": Case("ModelInfer", infer(model="broken"), False),
    **{
        f"version {text!r}": Case("ModelInfer", infer(lambda made, text=text: setattr(made, "model_version", text)), ok)  # type: ignore[misc]
        for text, ok in (
            ("1", True),
            ("01", True),
            ("1x", True),
            ("-1", False),
            ("+1", True),
            ("007", False),
            ("9", False),
            ("abc", False),
        )
    },
    "decoupled": Case("ModelInfer", repeat([1]), False),
    "failing": Case("ModelInfer", failing(), False),
    "an output that has no classes": Case("ModelInfer", no_classes(), False),
    **{
        f"parameter {key} {kind}": Case("ModelInfer", parameter(key, kind, value), ok)
        for key, kind, value, ok in (
            ("sequence_id", "int64_param", 1, True),
            ("sequence_id", "string_param", "a", True),
            ("sequence_id", "bool_param", True, False),
            ("sequence_start", "bool_param", True, True),
            ("sequence_start", "int64_param", 1, False),
            ("sequence_end", "int64_param", 1, False),
            ("priority", "int64_param", 1, True),
            ("priority", "uint64_param", 1, True),
            ("priority", "string_param", "1", False),
            ("timeout", "int64_param", 1, True),
            ("timeout", "string_param", "1", False),
            ("foo", "int64_param", 1, True),
            ("foo", "bool_param", True, True),
            ("foo", "string_param", "x", True),
            ("foo", "double_param", 1.0, True),
            ("foo", "uint64_param", 1, False),
            ("triton_x", "string_param", "1", False),
            ("triton_enable_empty_final_response", "bool_param", True, True),
            ("triton_enable_empty_final_response", "int64_param", 1, False),
        )
    },
    "negative priority": Case("ModelInfer", parameter("priority", "int64_param", -1), False),
    "long sequence id": Case("ModelInfer", parameter("sequence_id", "string_param", "x" * 129), False),
    "empty parameter": Case("ModelInfer", infer(lambda made: made.parameters["foo"].SetInParent()), False),
    "classes": Case("ModelInfer", output(("classification", "int64_param", 2)), True),
    "no classes": Case("ModelInfer", output(("classification", "int64_param", 0)), False),
    "classes as text": Case("ModelInfer", output(("classification", "string_param", "2")), False),
    "output": Case("ModelInfer", output(("foo", "int64_param", 2)), True),
    "unknown output": Case("ModelInfer", output(name="X"), False),
    "output in a region": Case("ModelInfer", output(REGION, SIZE), False),
    "classes in a region": Case("ModelInfer", output(REGION, SIZE, ("classification", "int64_param", 2)), False),
    "region without a size": Case("ModelInfer", output(REGION), False),
    "input in a region": Case("ModelInfer", in_region(REGION, SIZE), False),
    "region and contents": Case("ModelInfer", in_region(REGION, SIZE, contents=True), False),
    "region as a number": Case("ModelInfer", in_region(("shared_memory_region", "int64_param", 1)), False),
    "offset as text": Case("ModelInfer", in_region(REGION, SIZE, ("shared_memory_offset", "string_param", "x")), False),
    **{
        f"{key} without a region, {where}": Case("ModelInfer", made, False)
        for key in ("shared_memory_offset", "shared_memory_byte_size")
        for where, made in (
            ("input", in_region((key, "int64_param", 0))),
            ("output", output((key, "string_param", "x"), ("classification", "string_param", "2"))),
        )
    },
    "size as text": Case("ModelInfer", in_region(REGION, ("shared_memory_byte_size", "string_param", "x")), False),
    "server metadata": Case("ServerMetadata", pb.ServerMetadataRequest(), True),
    **{
        f"{method[5:].lower()} of {name}": Case(method, make(name=name), True)
        for name in (model.name for model in MODELS if model.name != "broken")
        for method, make in (("ModelMetadata", pb.ModelMetadataRequest), ("ModelConfig", pb.ModelConfigRequest))
    },
    **{
        f"{method[5:].lower()} of version {version!r}": Case(method, make(name="versions", version=version), True)
        for version in ("1", "03", "10", "1.5")
        for method, make in (("ModelMetadata", pb.ModelMetadataRequest), ("ModelConfig", pb.ModelConfigRequest))
    },
    "statistics": Case("ModelStatistics", pb.ModelStatisticsRequest(), True),
    "statistics of all versions": Case("ModelStatistics", pb.ModelStatisticsRequest(name="versions"), True),
    "statistics of a version": Case("ModelStatistics", pb.ModelStatisticsRequest(name="versions", version="03"), True),
    "index": Case("RepositoryIndex", pb.RepositoryIndexRequest(), True),
    "index of what is ready": Case("RepositoryIndex", pb.RepositoryIndexRequest(ready=True), True),
    **{
        f"{method} of {name} {version}": Case(method, make(name=name, version=version), False)
        for name, version in _NOT_SERVED
        for method, make in (
            ("ModelMetadata", pb.ModelMetadataRequest),
            ("ModelConfig", pb.ModelConfigRequest),
            ("ModelStatistics", pb.ModelStatisticsRequest),
        )
    },
    "log settings": Case("LogSettings", pb.LogSettingsRequest(), True),
    **{
        f"log settings: {setting} {kind} {value}": Case("LogSettings", log_setting(setting, kind, value), ok)
        for setting, kind, value, ok in (
            ("log_info", "bool_param", True, True),
            ("log_info", "string_param", "x", False),
            ("log_warning", "uint32_param", 1, False),
            ("log_verbose_level", "uint32_param", 0, True),
            ("log_verbose_level", "uint32_param", 2**32 - 1, True),
            ("log_verbose_level", "bool_param", True, False),
            ("log_format", "string_param", "default", True),
            ("log_format", "string_param", "bad", False),
            ("log_format", "bool_param", True, False),
            ("log_file", "string_param", "x", False),
            ("log_file", "bool_param", True, False),
            ("unknown", "bool_param", True, True),
        )
    },
    "trace settings": Case("TraceSetting", pb.TraceSettingRequest(), True),
    "trace settings of a model": Case("TraceSetting", pb.TraceSettingRequest(model_name="fixed"), True),
    "trace settings of nobody": Case("TraceSetting", pb.TraceSettingRequest(model_name="nobody"), False),
    "trace settings of what did not load": Case("TraceSetting", pb.TraceSettingRequest(model_name="broken"), False),
    "nobody's trace rate": Case("TraceSetting", trace_setting("trace_rate", ["x"], "nobody"), False),
    **{
        f"trace settings: {setting} {values}": Case("TraceSetting", trace_setting(setting, values), ok)
        for setting, values, ok in (
            ("trace_rate", ["1000"], True),
            ("trace_rate", [], True),
            ("trace_rate", ["x"], False),
            ("trace_rate", ["5", "6"], False),
            ("trace_rate", ["4294967296"], False),
            ("trace_count", ["-1"], True),
            ("trace_count", ["-2"], False),
            ("trace_count", [""], False),
            ("log_frequency", ["0"], True),
            ("log_frequency", ["x"], False),
            ("log_frequency", ["1", "2"], False),
            ("trace_level", [], True),
            ("trace_level", ["OFF"], True),
            ("trace_level", ["NOPE"], True),
            ("trace_level", ["OFF", "OFF"], False),
            ("trace_level", ["TENSORS"], False),
            ("trace_file", [], False),
            ("trace_file", ["x"], False),
            ("trace_mode", ["a", "b"], True),
            ("unknown", ["1"], True),
        )
    },
    "live": Case("ServerLive", pb.ServerLiveRequest(), True),
    "ready": Case("ServerReady", pb.ServerReadyRequest(), True),
    "model ready": Case("ModelReady", pb.ModelReadyRequest(name="batched"), True),
    "model ready, version": Case("ModelReady", pb.ModelReadyRequest(name="versions", version="3"), True),
    "unknown model ready": Case("ModelReady", pb.ModelReadyRequest(name="nobody"), True),
    "unknown version ready": Case("ModelReady", pb.ModelReadyRequest(name="batched", version="9"), True),
    "no version ready": Case("ModelReady", pb.ModelReadyRequest(name="batched", version="abc"), False),
    "unknown metadata": Case("ModelMetadata", pb.ModelMetadataRequest(name="nobody"), False),
    "no version's metadata": Case("ModelMetadata", pb.ModelMetadataRequest(name="batched", version="abc"), False),
    "unknown config": Case("ModelConfig", pb.ModelConfigRequest(name="nobody"), False),
    "unknown statistics": Case("ModelStatistics", pb.ModelStatisticsRequest(name="nobody"), False),
    "unknown version's": Case("ModelStatistics", pb.ModelStatisticsRequest(name="batched", version="7"), False),
    "no version's statistics": Case("ModelStatistics", pb.ModelStatisticsRequest(name="batched", version="abc"), False),
    "index of a repository": Case("RepositoryIndex", pb.RepositoryIndexRequest(repository_name="x"), False),
    "load": Case("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="batched"), False),
    "load from": Case("RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="x"), False),
    "unload": Case("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="batched"), False),
    "unload from": Case("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(repository_name="x"), False),
}

STREAMS: dict[str, list[Request]] = {
    "two": [infer(lambda made: setattr(made, "id", "1")), infer(lambda made: setattr(made, "id", "2"))],
    "none": [],
    "failures": [infer(), infer(model="nobody"), infer(raw=False), _shape(1, 4), typed("int_contents", [1]), infer()],
    "a model that fails": [failing(version) for version in ("", "1", "01")],
    "an output that has no classes": [no_classes(version) for version in ("", "01")],
    "parameters": [parameter("triton_x", "string_param", "1"), parameter("foo", "uint64_param", 1)],
    "decoupled": [repeat([1, -2, 3], "7")],
    "decoupled, told the last": [repeat([1], "7", told_last=True)],
    "decoupled, of a version, told the last": [repeat([1], version="1", told_last=True)],
    "decoupled, no response": [repeat([], "7")],
    "decoupled, no response, told the last": [repeat([], "7", told_last=True)],
    "decoupled, an error": [repeat([13], "7")],
    "decoupled, an error in between": [repeat([1, 13, 2], "7", told_last=True)],
    "decoupled, of a version, an error": [repeat([1, 13], version="1", told_last=True)],
    "decoupled, does not fit": [Request(model_name="repeat", id="7")],
    "decoupled, unknown version": [repeat([1], version="9")],
}

ALL = tuple(method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods)
"""The methods of Triton's service."""

MALFORMED = {
    f"{method} {message!r}": (method, message)
    for method in (*(f"/inference.GRPCInferenceService/{name}" for name in ALL), "/grpc.health.v1.Health/Check")
    for message in (b"\xff\xff", b"\x0a\x7f", b"\x0b")
    if not method.endswith("/ModelStreamInfer")
}
"""Messages that are none, to every method but that of streams, which Triton ends as if all was well."""

Outcome = tuple[str, object]


@pytest.fixture(scope="module")
def stubs(servers: Servers) -> Iterator[tuple[Any, Any]]:
    """Stubs of Triton and of Naiad."""
    ports = servers.triton.grpc, servers.naiad.grpc
    triton, naiad = (grpc.insecure_channel(f"127.0.0.1:{port}") for port in ports)
    stub = service_pb2_grpc.GRPCInferenceServiceStub
    with triton, naiad:
        yield stub(triton), stub(naiad)


def _streamed(stub: Any, requests: list[Request], metadata: Sequence[tuple[str, str]] = ()) -> list[object]:
    return list(stub.ModelStreamInfer(iter(requests), timeout=_TIMEOUT_S, metadata=metadata))


def outcome(ask: Callable[[], object]) -> Outcome:
    try:
        return "OK", ask()
    except grpc.RpcError as error:
        told: Any = error
        return told.code().name, told.details()


def _without_what_differs(found: Outcome) -> Outcome:
    """Leave out what is Naiad's own: version, extensions, backends; and what nobody else has: counts and times."""
    code, answer = found
    match answer:
        case pb.ServerMetadataResponse():
            answer.ClearField("version")
            answer.ClearField("extensions")
        case pb.ModelMetadataResponse():
            answer.ClearField("platform")
        case pb.ModelConfigResponse():
            for field in ("platform", "backend", "default_model_filename"):
                answer.config.ClearField(field)
        case pb.ModelStatisticsResponse():
            return code, [(row.name, row.version) for row in answer.model_stats]
        case pb.RepositoryIndexResponse():
            return code, [(row.name, row.version, row.state, row.reason[:10]) for row in answer.models]
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_call_is_answered_as_triton_does(name: str, stubs: tuple[Any, Any]) -> None:
    case = CASES[name]
    triton, naiad = (
        _without_what_differs(outcome(partial(getattr(stub, case.method), case.message, timeout=_TIMEOUT_S)))
        for stub in stubs
    )
    assert naiad == triton
    assert (triton[0] == "OK") is case.ok


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_answered_as_triton_does(name: str, stubs: tuple[Any, Any]) -> None:
    requests = STREAMS[name]
    triton, naiad = (outcome(partial(_streamed, stub, requests)) for stub in stubs)
    assert naiad == triton


def test_a_strict_stream_of_a_decoupled_model_is_answered_as_triton_does(stubs: tuple[Any, Any]) -> None:
    triton, naiad = (outcome(partial(_strictly_streamed, stub, [1, 2])) for stub in stubs)
    assert naiad == triton
    assert triton[0] == "OK"


@pytest.mark.parametrize("values", [[13], [1, 13, 2]])
def test_a_strict_stream_ends_with_the_first_error_of_a_decoupled_model(
    values: list[int], stubs: tuple[Any, Any]
) -> None:
    """As Triton's does; it isn't asked here, since it may crash when a model goes on after the end of its stream."""
    assert outcome(partial(_strictly_streamed, stubs[1], values)) == ("INTERNAL", "out of luck")


def _strictly_streamed(stub: Any, values: list[int]) -> Any:
    return _streamed(stub, [repeat(values, "7")], [("triton_grpc_error", "true")])


def test_parameters_reach_the_model(stubs: tuple[Any, Any]) -> None:
    triton, naiad = (stub.ModelInfer(with_parameters(), timeout=_TIMEOUT_S) for stub in stubs)
    assert naiad.raw_output_contents == triton.raw_output_contents
    assert naiad.parameters["n"].int64_param == 5


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/inference.GRPCInferenceService/Nope", b""),
        ("/grpc.health.v1.Health/Watch", b""),
        ("/x/y", b""),
        ("/inference.GRPCInferenceService/ModelInfer", b"\x0a\x01\xff"),
        *MALFORMED.values(),
    ],
)
def test_strange_calls_are_answered_as_triton_does(path: str, message: bytes, servers: Servers) -> None:
    triton, naiad = (_called(ports.grpc, path, message) for ports in servers)
    assert naiad == triton
    assert triton[0] != "OK"


HEALTH = (b"", b"\x0a\x00", b"\x0a\x03any", b"\x0a\x1einference.GRPCInferenceService", b"\x12\x01x")
"""Whatever service is asked about, in the coded form of `HealthCheckRequest`."""


@pytest.mark.parametrize("message", HEALTH)
def test_health_is_told_as_triton_does(message: bytes, servers: Servers) -> None:
    triton, naiad = (_called(ports.grpc, "/grpc.health.v1.Health/Check", message) for ports in servers)
    assert naiad == triton
    assert triton[0] == "OK"


def _called(port: int, path: str, message: bytes) -> Outcome:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(path, lambda data: data, lambda data: data)
        return outcome(lambda: list(call(iter([message]), timeout=_TIMEOUT_S)))
