# SPDX-License-Identifier: Apache-2.0
"""Instances: numpy arrays in, `InferenceSession.run`, numpy arrays out. Imports onnxruntime."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from naiad.backends.onnxruntime.failures import RUNTIME_ERRORS, translated
from naiad.config.signature import ArtifactSignature, ArtifactTensor
from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.tensors import Array

_ONNX_BFLOAT16 = 16
"""`TensorProto.BFLOAT16`."""


class OnnxInstance:
    """An instance of a model whose tensors are all numpy's: nothing is copied or converted on the way in.

    Over a tiny graph `InferenceSession.run` costs 5 µs, IO binding 9 µs and OrtValues 43 µs, and neither of these saves
    a copy on CPU. The session object below it costs 3 µs; what its caller must check is that all inputs are there.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, repository: Path, run_options: onnxruntime.RunOptions
    ) -> None:
        self._session = session
        self._run_checked = getattr(session, "_sess", session).run
        self._names = {item.name for item in session.get_inputs()}
        self._repository = repository
        self._run_options = run_options

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute `outputs` from `inputs`.

        Raises:
            InternalError: ONNX Runtime failed (`onnx runtime error <code>: <text>`).
        """
        try:
            arrays = self._compute(dict(inputs), list(outputs))
        except RUNTIME_ERRORS as error:
            raise translated(error, self._repository) from error
        return dict(zip(outputs, arrays, strict=True))

    def _compute(self, inputs: dict[str, Array], outputs: list[str]) -> list[Array]:
        run = self._run_checked if inputs.keys() == self._names else self._session.run
        arrays: list[Array] = run(outputs, inputs, self._run_options)
        return arrays

    def close(self) -> None:
        """Let go of the session."""
        del self._session, self._run_checked


class ConvertingInstance(OnnxInstance):
    """An instance of a model with tensors that ONNX Runtime and the engine hold differently.

    BYTES are `str` for ONNX Runtime and `bytes` for the engine; BF16 has no numpy dtype, so its bits go through
    OrtValues; a scalar may be an array of one element for the config (dims: [ 1 ]).

    `signature` holds every input that may be given; `scalar_ranks` says how many dimensions of 1 the config gives an
    output that is a scalar to the graph.

    Raises:
        UnsupportedError: there are BF16 tensors and string inputs.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        repository: Path,
        run_options: onnxruntime.RunOptions,
        signature: ArtifactSignature,
        scalar_ranks: Mapping[str, int],
    ) -> None:
        super().__init__(session, repository, run_options)
        self._inputs = {tensor.name: tensor for tensor in signature.inputs}
        self._outputs = {tensor.name: tensor for tensor in signature.outputs}
        self._scalar_ranks = scalar_ranks
        self._as_values = any(tensor.datatype == "BF16" for tensor in (*signature.inputs, *signature.outputs))
        texts = [tensor.name for tensor in signature.inputs if tensor.datatype == "BYTES"]
        if self._as_values and texts:
            raise UnsupportedError(
                f"model with BF16 tensors has the string input '{texts[0]}', expected numbers only: ONNX Runtime takes "
                "strings and BF16 from Python in different ways; add a Cast to FP32 at the graph's border"
            )

    def _compute(self, inputs: dict[str, Array], outputs: list[str]) -> list[Array]:
        given = {name: self._encoded(array, self._inputs[name]) for name, array in inputs.items()}
        arrays = self._through_values(given, outputs) if self._as_values else super()._compute(given, outputs)
        return [self._decoded(array, self._outputs[name]) for name, array in zip(outputs, arrays, strict=True)]

    def _encoded(self, array: Array, tensor: ArtifactTensor) -> Array:
        if not tensor.dims and array.size == 1:
            array = array.reshape(())
        return _as_text(array, tensor.name) if tensor.datatype == "BYTES" else array

    def _decoded(self, array: Array, tensor: ArtifactTensor) -> Array:
        if tensor.datatype == "BYTES":
            array = _filled(array.shape, [text.encode() for text in array.ravel().tolist()])
        rank = self._scalar_ranks.get(tensor.name)
        return array.reshape((1,) * rank) if rank else array

    def _through_values(self, inputs: dict[str, Array], outputs: list[str]) -> list[Array]:
        values = {name: _value(array, self._inputs[name].datatype) for name, array in inputs.items()}
        results = self._session.run_with_ort_values(outputs, values, self._run_options)
        return [_array(value) for value in results]


def needs_conversion(signature: ArtifactSignature) -> bool:
    """Tell whether a model needs a `ConvertingInstance`."""
    return any(
        tensor.datatype in ("BYTES", "BF16") or not tensor.dims for tensor in (*signature.inputs, *signature.outputs)
    )


def _as_text(array: Array, name: str) -> Array:
    try:
        return _filled(array.shape, [bytes(element).decode() for element in array.ravel().tolist()])
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"input '{name}' has an element that is not UTF-8 ({error}), expected text: ONNX Runtime takes strings "
            "from Python as text only; give bytes to the model as a UINT8 tensor"
        ) from error


def _filled(shape: tuple[int, ...], elements: list[Any]) -> Array:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def _value(array: Array, datatype: str) -> onnxruntime.OrtValue:
    if datatype == "BF16":
        # This one takes the memory as it lies and does not look at the strides; a scalar must stay one.
        bits = np.ascontiguousarray(array).reshape(array.shape)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _ONNX_BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _array(value: onnxruntime.OrtValue) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    bits = np.empty(tuple(value.shape()), dtype=np.uint16)
    ctypes.memmove(bits.ctypes.data, value.data_ptr(), bits.nbytes)
    return bits
