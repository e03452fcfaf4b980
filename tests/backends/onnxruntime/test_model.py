# SPDX-License-Identifier: Apache-2.0
"""A model from its file to its outputs: completion, instances and their sessions, datatypes, failures."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper

from naiad.backends.base import BackendSettings, ModelFiles, ModelInstance, Placement
from naiad.backends.onnxruntime.backend import OnnxRuntimeBackend
from naiad.backends.onnxruntime.instance import OnnxInstance
from naiad.backends.onnxruntime.model import OnnxModel
from naiad.config.proto import ModelConfig
from naiad.errors import InternalError, InvalidArgumentError, UnsupportedError
from naiad.tensors import Array

SaveGraph = Callable[..., Path]
Open = Callable[..., OnnxModel]


def config_of(text: str = "") -> ModelConfig:
    return text_format.Parse(text, ModelConfig(name="m", backend="onnxruntime"))


def instance_of(model: OnnxModel, config: ModelConfig | None = None) -> ModelInstance:
    return model.create_instance(model.complete(config or config_of()), Placement("m_0"))


def identity(save_graph: SaveGraph, open_model: Open, element: int, array: Array) -> Array:
    """Send an array through a graph that gives it back."""
    dims = [f"d{axis}" for axis in range(array.ndim)]
    save_graph([("x", element, dims)], [("y", element, dims)])
    model = open_model()
    # Completion would take the first dimension for the batch; the instance is given whole arrays either way.
    return instance_of(model).run({"x": array}, ["y"])["y"]


class TestComplete:
    def test_a_bare_config_gets_inputs_outputs_and_batching_from_the_graph(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        save_graph()
        assert open_model().complete(config_of()) == config_of(
            """
            max_batch_size: 4
            input { name: "x" data_type: TYPE_FP32 dims: 16 }
            output { name: "y" data_type: TYPE_FP32 dims: 16 }
            dynamic_batching { }
            """
        )

    def test_the_backend_option_gives_the_default_batch_size(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph()
        model = open_model(options={"default-max-batch-size": "32", "unheard-of": "x"})
        assert model.complete(config_of()).max_batch_size == 32

    def test_a_wrong_backend_option_is_refused(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph()
        model = open_model(options={"default-max-batch-size": "all"})
        with pytest.raises(InvalidArgumentError, match="'default-max-batch-size' is 'all', expected a whole number"):
            model.complete(config_of())

    def test_without_auto_completion_nothing_is_filled_in_but_all_is_checked(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        save_graph()
        model = open_model(auto_complete=False)
        full = config_of(
            'input { name: "x" data_type: TYPE_FP32 dims: [-1, 16] } '
            'output { name: "y" data_type: TYPE_FP32 dims: [-1, 16] }'
        )
        assert model.complete(full) == full
        with pytest.raises(InvalidArgumentError, match="configuration expects 0 inputs, model provides 1"):
            model.complete(config_of())

    def test_batching_that_the_graph_cannot_do_is_refused(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph([("x", TensorProto.FLOAT, [1, 16])], [("y", TensorProto.FLOAT, [1, 16])])
        with pytest.raises(InvalidArgumentError, match=r"^autofill failed for model 'm': model does not support"):
            open_model().complete(config_of("max_batch_size: 8"))

    def test_a_config_that_contradicts_the_graph_is_refused(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph()
        config = config_of('max_batch_size: 4 output { name: "z" data_type: TYPE_FP32 dims: 16 }')
        with pytest.raises(InvalidArgumentError, match=r"^unexpected inference output 'z', allowed outputs are: y; "):
            open_model(config).complete(config)

    def test_outputs_that_are_no_tensors_are_refused_at_opening(
        self, files: ModelFiles, save_graph: SaveGraph, open_model: Open
    ) -> None:
        path = save_graph()
        graph = helper.make_graph(
            [helper.make_node("SequenceConstruct", ["x"], ["y"])],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
            [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
        )
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
        path.write_bytes(model.SerializeToString())
        with pytest.raises(UnsupportedError, match=r"^Unsupported ONNX Type 'seq\(tensor\(float\)\)' for I/O 'y'"):
            open_model()


class TestDatatypes:
    @pytest.mark.parametrize(
        ("element", "dtype"),
        [
            (TensorProto.FLOAT, "f4"),
            (TensorProto.DOUBLE, "f8"),
            (TensorProto.FLOAT16, "f2"),
            (TensorProto.INT8, "i1"),
            (TensorProto.INT16, "i2"),
            (TensorProto.INT32, "i4"),
            (TensorProto.INT64, "i8"),
            (TensorProto.UINT8, "u1"),
            (TensorProto.UINT16, "u2"),
            (TensorProto.UINT32, "u4"),
            (TensorProto.UINT64, "u8"),
            (TensorProto.BOOL, "?"),
        ],
    )
    def test_numbers_come_back_as_they_went(
        self, save_graph: SaveGraph, open_model: Open, element: int, dtype: str
    ) -> None:
        array = np.array([[0, 1, 100], [7, 0, 3]]).astype(dtype)
        result = identity(save_graph, open_model, element, array)
        assert result.dtype == array.dtype
        assert result.tolist() == array.tolist()

    def test_bf16_goes_through_as_raw_bits(self, save_graph: SaveGraph, open_model: Open) -> None:
        bits = np.array([[0x3F80, 0xC020], [0x7F80, 0x3DCD]], np.uint16)  # 1, -2.5, infinity, nearly 0.1
        result = identity(save_graph, open_model, TensorProto.BFLOAT16, bits)
        assert result.dtype == np.uint16
        assert result.tolist() == bits.tolist()

    def test_a_strided_bf16_array_is_read_by_its_strides(self, save_graph: SaveGraph, open_model: Open) -> None:
        result = identity(save_graph, open_model, TensorProto.BFLOAT16, np.arange(8, dtype=np.uint16)[::2])
        assert result.tolist() == [0, 2, 4, 6]

    def test_a_bf16_array_without_elements_comes_back(self, save_graph: SaveGraph, open_model: Open) -> None:
        result = identity(save_graph, open_model, TensorProto.BFLOAT16, np.empty((0, 2), np.uint16))
        assert result.shape == (0, 2)

    def test_other_tensors_of_a_bf16_model_keep_their_types(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph(
            [("x", TensorProto.FLOAT, ["N"]), ("n", TensorProto.INT64, ["N"])],
            [("y", TensorProto.BFLOAT16, ["N"]), ("t", TensorProto.STRING, ["N"])],
            nodes=[
                helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16),
                helper.make_node("Cast", ["n"], ["t"], to=TensorProto.STRING),
            ],
        )
        inputs = {"x": np.array([1.0, 3.140625], np.float32)[::-1], "n": np.array([10, 11])}
        result = instance_of(open_model()).run(inputs, ["t", "y"])
        assert result["y"].tolist() == [0x4049, 0x3F80]
        assert result["t"].tolist() == [b"10", b"11"]

    def test_bf16_beside_string_inputs_is_refused(self, save_graph: SaveGraph, open_model: Open) -> None:
        tensors = [("x", TensorProto.BFLOAT16, ["N"]), ("s", TensorProto.STRING, ["N"])]
        save_graph(tensors, [(f"{name}_out", element, dims) for name, element, dims in tensors])
        with pytest.raises(UnsupportedError, match=r"^model with BF16 tensors has the string input 's'"):
            instance_of(open_model())

    def test_strings_are_bytes_on_both_sides(self, save_graph: SaveGraph, open_model: Open) -> None:
        array = np.array([[b"a", "é".encode()], [b"", b"nul\0inside"]], dtype=object)
        result = identity(save_graph, open_model, TensorProto.STRING, array)
        assert result.dtype == object
        assert result.tolist() == array.tolist()

    def test_a_string_that_is_not_utf_8_is_refused(self, save_graph: SaveGraph, open_model: Open) -> None:
        with pytest.raises(InvalidArgumentError, match=r"^input 'x' has an element that is not UTF-8"):
            identity(save_graph, open_model, TensorProto.STRING, np.array([b"\xff"], dtype=object))

    @pytest.mark.parametrize(
        ("element", "kind", "given"),
        [
            (TensorProto.FLOAT, "FP32", np.array([3], np.float32)),
            (TensorProto.STRING, "STRING", np.array([b"3"], object)),
            (TensorProto.BFLOAT16, "BF16", np.array([3], np.uint16)),
        ],
    )
    def test_a_scalar_may_be_an_array_of_one_element_for_the_config(
        self, save_graph: SaveGraph, open_model: Open, element: int, kind: str, given: Array
    ) -> None:
        save_graph([("x", element, [])], [("y", element, [])])
        config = config_of(
            f'input {{ name: "x" data_type: TYPE_{kind} dims: 1 }} '
            f'output {{ name: "y" data_type: TYPE_{kind} dims: 1 }}'
        )
        result = instance_of(open_model(), config).run({"x": given}, ["y"])["y"]
        assert (result.shape, result.tolist()) == ((1,), given.tolist())

    def test_a_scalar_with_a_reshape_stays_a_scalar(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph([("x", TensorProto.FLOAT, [])], [("y", TensorProto.FLOAT, [])])
        result = instance_of(open_model()).run({"x": np.array(3, np.float32)}, ["y"])["y"]
        assert result.shape == ()

    @pytest.mark.parametrize(
        "array",
        [np.zeros((0, 16), np.float32), np.ones((2, 32), np.float32)[:, ::2], np.ones((16, 3), np.float32).T],
        ids=["no rows", "strided", "transposed"],
    )
    def test_arrays_of_any_layout_are_taken(self, save_graph: SaveGraph, open_model: Open, array: Array) -> None:
        assert identity(save_graph, open_model, TensorProto.FLOAT, array).tolist() == array.tolist()


class TestRun:
    def test_only_the_outputs_asked_for_are_computed_in_any_order(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        shape = ["N", 2]
        save_graph(
            [("a", TensorProto.FLOAT, shape), ("b", TensorProto.INT64, shape)],
            [("c", TensorProto.FLOAT, shape), ("d", TensorProto.INT64, shape)],
        )
        instance = instance_of(open_model())
        inputs = {"a": np.ones((1, 2), np.float32), "b": np.full((1, 2), 7)}
        result = instance.run(inputs, ("d", "c"))
        assert {name: array.tolist() for name, array in result.items()} == {"d": [[7, 7]], "c": [[1.0, 1.0]]}
        assert list(instance.run(inputs, ("d",))) == ["d"]

    def test_an_input_with_a_default_may_be_left_out(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph(
            [("x", TensorProto.FLOAT, ["N"]), ("t", TensorProto.FLOAT, [1])],
            [("y", TensorProto.FLOAT, ["N"])],
            nodes=[helper.make_node("Add", ["x", "t"], ["y"])],
            initializers=[numpy_helper.from_array(np.ones(1, np.float32), "t")],
        )
        model = open_model()
        completed = model.complete(config_of())
        instance = model.create_instance(completed, Placement("m_0"))
        x = np.ones(2, np.float32)
        assert [item.name for item in completed.input] == ["x"]
        assert instance.run({"x": x}, ["y"])["y"].tolist() == [2.0, 2.0]
        assert instance.run({"x": x, "t": np.full(1, 5, np.float32)}, ["y"])["y"].tolist() == [6.0, 6.0]

    def test_a_failure_is_told_in_tritons_words_and_the_next_run_works(
        self, save_graph: SaveGraph, open_model: Open, capfd: pytest.CaptureFixture[str]
    ) -> None:
        save_graph(
            [("a", TensorProto.FLOAT, ["N"]), ("b", TensorProto.FLOAT, ["M"])],
            [("y", TensorProto.FLOAT, ["K"])],
            nodes=[helper.make_node("Add", ["a", "b"], ["y"])],
        )
        instance = instance_of(open_model())
        with pytest.raises(InternalError, match=r"^onnx runtime error [16]: Non-zero status code .* running Add"):
            instance.run({"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}, ["y"])
        assert instance.run({"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}, ["y"])["y"].tolist() == [2, 2]
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        ("inputs", "expected"),
        [
            ({"x": np.ones((1, 15), np.float32)}, "onnx runtime error 2: Got invalid dimensions for input: x"),
            ({"x": np.ones((1, 16))}, "onnx runtime error 2: Unexpected input data type."),
            ({}, "onnx runtime error 1: Required inputs"),
        ],
    )
    def test_wrong_inputs_are_told(
        self, save_graph: SaveGraph, open_model: Open, inputs: dict[str, Array], expected: str
    ) -> None:
        save_graph()
        with pytest.raises(InternalError) as caught:
            instance_of(open_model()).run(inputs, ["y"])
        assert str(caught.value).startswith(expected)

    def test_arena_shrinkage_is_an_option_of_the_run(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph()
        key = "memory.enable_memory_arena_shrinkage"
        x = {"x": np.ones((1, 16), np.float32)}
        config = config_of(f'parameters {{ key: "{key}" value {{ string_value: "cpu:0" }} }}')
        assert instance_of(open_model(config), config).run(x, ["y"])["y"].shape == (1, 16)
        config.parameters[key].string_value = "tpu:0"
        with pytest.raises(InternalError, match="tpu"):
            instance_of(open_model(config), config).run(x, ["y"])


class TestSessions:
    def sessions(self, model: OnnxModel, config: ModelConfig, count: int = 3) -> list[Any]:
        completed = model.complete(config)
        made = [model.create_instance(completed, Placement(f"m_{index}")) for index in range(count)]
        return [instance._session for instance in made if isinstance(instance, OnnxInstance)]

    def test_instances_of_one_thread_share_the_session_that_was_opened(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        save_graph()
        model = open_model()
        (_, opened), *_ = model._sessions
        assert all(session is opened for session in self.sessions(model, config_of()))

    def test_the_number_of_threads_told_is_the_one_of_the_sessions(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        save_graph()
        model = open_model(usable_cores=7)
        completed = model.complete(config_of())
        assert model.threads_per_instance(completed) == 3
        options = [session.get_session_options() for session in self.sessions(model, completed)]
        assert {one.intra_op_num_threads for one in options} == {3}

    def test_instances_of_several_threads_have_their_own_and_the_first_has_the_opened_one(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        save_graph()
        model = open_model(usable_cores=4)
        (_, opened), *_ = model._sessions
        first, second, third = self.sessions(model, config_of())
        assert first is opened
        assert len({id(first), id(second), id(third)}) == 3

    def test_instances_of_a_shared_session_compute_at_the_same_time(
        self, save_graph: SaveGraph, open_model: Open
    ) -> None:
        save_graph()
        model = open_model()
        completed = model.complete(config_of())
        results: dict[int, Array] = {}

        def compute(number: int) -> None:
            instance = model.create_instance(completed, Placement(f"m_{number}"))
            for _ in range(200):
                results[number] = instance.run({"x": np.full((3, 16), number, np.float32)}, ["y"])["y"]
                assert (results[number] == number).all()

        threads = [threading.Thread(target=compute, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [0, 1, 2, 3]

    def test_closing_the_model_leaves_instances_their_session(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph()
        model = open_model()
        instance = instance_of(model)
        model.close()
        assert instance.run({"x": np.ones((1, 16), np.float32)}, ["y"])["y"].shape == (1, 16)
        instance.close()

    def test_session_parameters_reach_the_session(self, save_graph: SaveGraph, open_model: Open) -> None:
        save_graph()
        config = config_of(
            """
            optimization { graph { level: -1 } }
            parameters { key: "intra_op_thread_count" value { string_value: "3" } }
            parameters { key: "inter_op_thread_count" value { string_value: "2" } }
            parameters { key: "execution_mode" value { string_value: "1" } }
            parameters { key: "enable_mem_arena" value { string_value: "0" } }
            parameters { key: "session.set_denormal_as_zero" value { string_value: "1" } }
            """
        )
        options = self.sessions(open_model(config), config, count=1)[0].get_session_options()
        assert options.intra_op_num_threads == 3
        assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
        assert options.execution_mode.name == "ORT_PARALLEL"
        assert not options.enable_cpu_mem_arena
        assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"

    def test_a_warning_is_given_once_for_all_instances(
        self, save_graph: SaveGraph, open_model: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        save_graph()
        config = config_of('optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }')
        with caplog.at_level(logging.WARNING):
            self.sessions(open_model(config), config)
        assert [record.getMessage() for record in caplog.records] == [
            "model 'm': GPU Execution Accelerator will be ignored for model instance on CPU"
        ]


def test_yolov8_detects_the_same_in_every_row_of_a_batch(test_models: Path) -> None:
    """With a real model, a batch of two pictures gives what each gives alone."""
    path = test_models / "yolov8n.onnx"
    files = ModelFiles(test_models, test_models)
    config = ModelConfig(name="yolov8n", default_model_filename=path.name)
    model = OnnxRuntimeBackend().open(files, config, BackendSettings(usable_cores=2))
    completed = model.complete(config)
    assert model.metadata["task"] == "detect"
    assert [(item.name, list(item.dims)) for item in completed.input] == [("images", [3, -1, -1])]
    instance = model.create_instance(completed, Placement("yolov8n_0"))
    assert isinstance(instance, ModelInstance)
    images = np.random.default_rng(0).random((2, 3, 96, 128), np.float32)
    both = instance.run({"images": images}, ["output0"])["output0"]
    assert both.shape == (2, 84, 252)
    for row in range(2):
        alone = instance.run({"images": images[row : row + 1]}, ["output0"])["output0"]
        np.testing.assert_allclose(both[row], alone[0], rtol=1e-3, atol=1e-3)
