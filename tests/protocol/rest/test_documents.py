# SPDX-License-Identifier: Apache-2.0
"""Metadata, config, statistics and index in Triton's JSON form.

`triton_config.jsonl` holds configs as Triton 2.51 prints them, one a line.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from naiad.config.proto import ModelConfig
from naiad.protocol.rest.documents import dumps, index, model_config, model_metadata, server_metadata, statistics
from naiad.snapshots import (
    BatchStatistics,
    Duration,
    IndexEntry,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ResponseStatistics,
    ServerMetadata,
    TensorMetadata,
)

CONFIGS = {
    json.loads(line)["name"]: line
    for line in Path(__file__).with_name("triton_config.jsonl").read_text(encoding="utf-8").splitlines()
}


def printed(text: str) -> bytes:
    """Return how the config is printed that Triton printed as `text`."""
    return dumps(model_config(json_format.Parse(text, ModelConfig())))


@pytest.mark.parametrize("name", ["queues", "tuned", "direct", "two"])
def test_a_config_is_printed_as_triton_prints_it_to_the_byte(name: str) -> None:
    assert printed(CONFIGS[name]).decode() == CONFIGS[name]


def test_the_initial_state_alone_has_its_members_in_another_order() -> None:
    assert json.loads(printed(CONFIGS["oldest"])) == json.loads(CONFIGS["oldest"])


def test_a_field_that_is_newer_than_that_triton_is_printed_too() -> None:
    document = json.loads(printed(CONFIGS["steps"]))
    assert document["ensemble_scheduling"].pop("max_inflight_requests") == 0
    assert document == json.loads(CONFIGS["steps"])


def test_an_empty_config_shows_every_primitive_and_no_message() -> None:
    document = model_config(ModelConfig())
    assert document["max_batch_size"] == 0
    assert document["name"] == document["runtime"] == ""
    assert document["input"] == document["model_warmup"] == []
    assert document["parameters"] == {}
    assert not {"version_policy", "optimization", "dynamic_batching", "model_transaction_policy"} & set(document)


def test_floats_print_their_shortest_form() -> None:
    config = ModelConfig()
    config.sequence_batching.direct.minimum_slot_utilization = 0.1
    control = config.sequence_batching.control_input.add(name="C").control.add()
    control.fp32_false_true.extend([0, 0.25])
    document = model_config(config)["sequence_batching"]
    assert dumps(document["direct"]) == b'{"max_queue_delay_microseconds":0,"minimum_slot_utilization":0.1}'
    assert b'"fp32_false_true":[0,0.25]' in dumps(document["control_input"])


def test_server_metadata() -> None:
    document = server_metadata(ServerMetadata("naiad", "0.1", ("statistics", "parameters")))
    assert dumps(document) == b'{"name":"naiad","version":"0.1","extensions":["statistics","parameters"]}'


def test_model_metadata_tells_nothing_of_labels_or_batch_size() -> None:
    tensors = (TensorMetadata("X", "FP32", (-1, 3)),), (TensorMetadata("Y", "BYTES", (-1,)),)
    document = model_metadata(ModelMetadata("m", ("1", "12"), "onnxruntime_onnx", *tensors, 8, {"Y": ("cat",)}))
    assert dumps(document) == (
        b'{"name":"m","versions":["1","12"],"platform":"onnxruntime_onnx",'
        b'"inputs":[{"name":"X","datatype":"FP32","shape":[-1,3]}],'
        b'"outputs":[{"name":"Y","datatype":"BYTES","shape":[-1]}]}'
    )


@pytest.mark.parametrize(
    ("entry", "row"),
    [
        (IndexEntry("m"), {"name": "m"}),
        (IndexEntry("m", "1", ModelState.READY), {"name": "m", "version": "1", "state": "READY"}),
        (
            IndexEntry("m", "1", ModelState.UNAVAILABLE, "unloaded"),
            {"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        ),
        (IndexEntry("m", None, ModelState.UNAVAILABLE, "r"), {"name": "m", "state": "UNAVAILABLE", "reason": "r"}),
    ],
)
def test_the_index_leaves_out_what_there_is_not(entry: IndexEntry, row: dict[str, str]) -> None:
    assert index([entry]) == [row]


def test_statistics_have_tritons_members_in_tritons_order() -> None:
    one, two, three = (Duration(count, 10 * count) for count in (1, 2, 3))
    batches = (BatchStatistics(4, one, two, three),)
    model = ModelStatistics("m", "1", 99, 8, 2, success=one, fail=two, compute_output=three, batches=batches)
    zero = '{"count":0,"ns":0}'
    first, second, third = ('{"count":1,"ns":10}', '{"count":2,"ns":20}', '{"count":3,"ns":30}')
    assert dumps(statistics([model])).decode() == (
        '{"model_stats":[{"name":"m","version":"1","last_inference":99,"inference_count":8,"execution_count":2,'
        f'"inference_stats":{{"success":{first},"fail":{second},"queue":{zero},"compute_input":{zero},'
        f'"compute_infer":{zero},"compute_output":{third},"cache_hit":{zero},"cache_miss":{zero}}},'
        '"response_stats":{},"batch_stats":[{"batch_size":4,'
        f'"compute_input":{first},"compute_infer":{second},"compute_output":{third}}}],"memory_usage":[]}}]}}'
    )


def test_responses_have_tritons_members_under_their_number() -> None:
    row = ResponseStatistics(*(Duration(count, 10 * count) for count in range(1, 7)))
    (model,) = statistics([ModelStatistics("m", "1", responses=(row, row))])["model_stats"]
    names = ("compute_infer", "compute_output", "success", "fail", "empty_response", "cancel")
    expected = {name: {"count": count, "ns": 10 * count} for count, name in enumerate(names, 1)}
    assert model["response_stats"] == {"0": expected, "1": expected}


def test_no_models_no_statistics() -> None:
    empty: dict[str, list[Any]] = {"model_stats": []}
    assert statistics([]) == empty


def test_maps_are_printed_in_the_order_of_their_keys() -> None:
    config = ModelConfig()
    names = [f"key{number}" for number in range(20)]
    for name in reversed(names):
        config.parameters[name].string_value = name
    assert list(model_config(config)["parameters"]) == sorted(names)
