# SPDX-License-Identifier: Apache-2.0
"""What a model expects, and the check of a request against it.

Order and texts of the checks mirror Triton's `InferenceRequest::Normalize`: outputs, duplicates, names and counts,
batch size, then per input datatype, shape and byte size. No I/O, no clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.errors import InvalidArgumentError
from naiad.requests import InferRequest, InputTensor, RequestedOutput, id_prefix
from naiad.snapshots import TensorMetadata
from naiad.tensors import BY_CONFIG_NAME, BYTES, Array, DataType, decode_bytes

_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try "
    "setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


_MEMOISED_FORMS = 256
_DECLARED = InputTensor._fields.index("data")


class BoundRequest(NamedTuple):
    """A request found good: its arrays by input name, how many rows it has, and what it may be batched with.

    `rows` is 1 for a model without a batch dimension. Only requests of equal `batch_key` may share a batch: it holds
    the inputs given and their shapes without the batch dimension.
    """

    arrays: dict[str, Array]
    rows: int
    batch_key: tuple[object, ...]
    outputs: tuple[str, ...]


class _Form(NamedTuple):
    """A request found good, without its data: what `bind` would find for any other that declares the same."""

    dtypes: tuple[np.dtype[Any], ...]
    sizes_bytes: tuple[int, ...]
    rows: int
    batch_key: tuple[object, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, bound: BoundRequest) -> "_Form":
        arrays = bound.arrays.values()
        dtypes, sizes_bytes = tuple(array.dtype for array in arrays), tuple(array.nbytes for array in arrays)
        return cls(dtypes, sizes_bytes, bound.rows, bound.batch_key, bound.outputs)

    def filled(self, inputs: tuple[InputTensor, ...]) -> BoundRequest | None:
        """Bind the data of `inputs`; None if one is of the wrong size."""
        arrays: dict[str, Array] = {}
        for tensor, dtype, size_bytes in zip(inputs, self.dtypes, self.sizes_bytes, strict=True):
            data = tensor.data
            if data.nbytes != size_bytes:
                return None
            array = np.frombuffer(data, dtype) if isinstance(data, memoryview) else data
            arrays[tensor.name] = array.reshape(tensor.shape)
        return BoundRequest(arrays, self.rows, self.batch_key, self.outputs)


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """A tensor as the config describes it; `dims` without the batch dimension, `model_dims` after its `reshape`."""

    name: str
    datatype: DataType
    dims: tuple[int, ...]
    model_dims: tuple[int, ...] | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of one model, and `bind`, which holds a request against them.

    Clients declare the same names, shapes and datatypes again and again: `forms` remembers those found good, so that
    only the sizes of the data are left to check. It does so for a plain model, whose inputs are neither strings nor
    reshaped.
    """

    model: str
    max_batch_size: int
    inputs: Mapping[str, ExpectedTensor]
    outputs: Mapping[str, ExpectedTensor]
    required: frozenset[str]
    is_plain: bool
    forms: "dict[tuple[object, ...], _Form]" = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_config(cls, config: ModelConfig, model: str) -> "Signature":
        """Read the signature off a completed config."""
        inputs = {item.name: _expected(item, item.optional) for item in config.input}
        return cls(
            model=model,
            max_batch_size=config.max_batch_size,
            inputs=inputs,
            outputs={item.name: _expected(item) for item in config.output},
            required=frozenset(name for name, tensor in inputs.items() if not tensor.optional),
            is_plain=all(tensor.datatype is not BYTES and tensor.model_dims is None for tensor in inputs.values()),
        )

    def metadata(self, tensors: Mapping[str, ExpectedTensor]) -> tuple[TensorMetadata, ...]:
        """Return `inputs` or `outputs` as model metadata shows them: before any reshape, batch dimension first."""
        batch = (-1,) if self.max_batch_size else ()
        return tuple(TensorMetadata(t.name, t.datatype.name, batch + t.dims) for t in tensors.values())

    def bind(self, request: InferRequest) -> BoundRequest:
        """Check `request` and turn its raw tensors into views.

        Raises:
            InvalidArgumentError: the request does not fit the model (Triton's texts).
        """
        declared = (request.outputs, *[tensor[:_DECLARED] for tensor in request.inputs])
        form = self.forms.get(declared)
        if form is not None and (bound := form.filled(request.inputs)) is not None:
            return bound
        bound = self._bind(request)
        if self.is_plain:
            if len(self.forms) >= _MEMOISED_FORMS:
                self.forms.clear()
            self.forms[declared] = _Form.of(bound)
        return bound

    def _bind(self, request: InferRequest) -> BoundRequest:
        outputs = self._requested(request.outputs, request.id)
        self._check_names(request)
        rows = self._rows(request)
        arrays: dict[str, Array] = {}
        key: list[object] = []
        for tensor in request.inputs:
            expected = self.inputs[tensor.name]
            array = self._array(tensor, expected, request.id)
            if expected.model_dims is not None:
                array = self._reshaped(array, expected)
            arrays[tensor.name] = array
            key += (tensor.name, array.shape[1:] if self.max_batch_size else array.shape)
        return BoundRequest(arrays, rows, tuple(key), outputs)

    def _requested(self, outputs: tuple[RequestedOutput, ...], request_id: str) -> tuple[str, ...]:
        if not outputs:
            return tuple(self.outputs)
        names = tuple([output.name for output in outputs])
        for name in names:
            if name not in self.outputs:
                raise InvalidArgumentError(f"unexpected inference output '{name}' for model '{self.model}'")
        if len(names) > 1 and len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidArgumentError(f"{id_prefix(request_id)}output '{twice}' already exists in request")
        return names

    def _check_names(self, request: InferRequest) -> None:
        names = [tensor.name for tensor in request.inputs]
        given = set(names)
        if len(given) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidArgumentError(f"{id_prefix(request.id)}input '{twice}' already exists in request")
        if not len(self.required) <= len(names) <= len(self.inputs):
            raise InvalidArgumentError(id_prefix(request.id) + self._wrong_count(names))
        for name in names:
            if name not in self.inputs:
                raise InvalidArgumentError(f"unexpected inference input '{name}' for model '{self.model}'")
        if not self.required <= given:
            raise InvalidArgumentError(id_prefix(request.id) + self._wrong_count(names))

    def _wrong_count(self, names: list[str]) -> str:
        least, most = len(self.required), len(self.inputs)
        expected = (
            f"expected {most} inputs" if least == most else f"expected number of inputs between {least} and {most}"
        )
        got = ",".join(f"'{name}'" for name in reversed(names))
        missing = [f"'{name}'" for name in self.inputs if name in self.required and name not in names]
        # Triton prints a lone "]" where nothing is missing.
        needed = f"[{','.join(missing)}]" if missing else "]"
        return (
            f"{expected} but got {len(names)} inputs for model '{self.model}'. Got input(s) [{got}], but missing "
            f"required input(s) {needed}. Please provide all required input(s)."
        )

    def _rows(self, request: InferRequest) -> int:
        if not self.max_batch_size:
            return 1
        rows = -1
        for tensor in request.inputs:
            if not tensor.shape:
                raise InvalidArgumentError(
                    f"{id_prefix(request.id)}input '{tensor.name}' has no shape but model requires batch dimension for "
                    f"'{self.model}'"
                )
            if rows not in (-1, tensor.shape[0]):
                raise InvalidArgumentError(
                    f"{id_prefix(request.id)}input '{tensor.name}' batch size does not match other inputs for "
                    f"'{self.model}'"
                )
            rows = tensor.shape[0]
        if rows > self.max_batch_size:
            raise InvalidArgumentError(
                f"{id_prefix(request.id)}inference request batch-size must be <= {self.max_batch_size} for "
                f"'{self.model}'"
            )
        return max(rows, 1)

    def _array(self, tensor: InputTensor, expected: ExpectedTensor, request_id: str) -> Array:
        datatype = expected.datatype
        if tensor.datatype != datatype.name:
            raise InvalidArgumentError(
                f"{id_prefix(request_id)}inference input '{tensor.name}' data-type is '{tensor.datatype}', but model "
                f"'{self.model}' expects '{datatype.name}'"
            )
        shape = tensor.shape
        self._check_shape(tensor.name, shape, expected.dims, request_id)
        data = tensor.data
        if self.max_batch_size and not shape[0]:
            return self._no_rows(tensor, expected, request_id)
        if datatype is BYTES:
            return self._strings(tensor, request_id)
        needed_bytes = datatype.size_bytes * math.prod(shape)
        if data.nbytes != needed_bytes:
            raise InvalidArgumentError(
                f"{id_prefix(request_id)}input byte size mismatch for input '{tensor.name}' for model '{self.model}'. "
                f"Expected {needed_bytes}, got {data.nbytes}"
            )
        if isinstance(data, memoryview):
            return np.frombuffer(data, datatype.dtype).reshape(shape)
        return data.reshape(shape)

    def _no_rows(self, tensor: InputTensor, expected: ExpectedTensor, request_id: str) -> Array:
        """Check a batch of no rows as Triton does, as if it were one row: it fails, unless rows are empty too."""
        row = self._array(tensor._replace(shape=(1, *tensor.shape[1:])), expected, request_id)
        if row.size:
            # Triton takes the row, and loses the batch dimension.
            raise InvalidArgumentError(
                f"{id_prefix(request_id)}inference request batch-size must be >= 1 for '{self.model}'"
            )
        return row[:0]

    def _check_shape(self, name: str, shape: tuple[int, ...], dims: tuple[int, ...], request_id: str) -> None:
        own = shape[1:] if self.max_batch_size else shape
        pairs = zip(dims, own, strict=True) if len(own) == len(dims) else ((0, 1),)
        # The first dimension that will not do, or -1 for one that is not specified.
        misfit = next((got for want, got in pairs if got == -1 or want not in (-1, got)), None)
        if misfit == -1:
            raise self._unspecified(name, shape, request_id)
        if misfit is not None:
            wanted = (-1, *dims) if self.max_batch_size else dims
            raise InvalidArgumentError(
                f"{id_prefix(request_id)}unexpected shape for input '{name}' for model '{self.model}'. Expected "
                f"{_listed(wanted)}, got {_listed(shape)}. {_BATCH_NOTE if self.max_batch_size else ''}"
            )
        if min(shape, default=0) < 0:  # where Triton would count modulo 2**32, or its backends crash
            raise self._unspecified(name, shape, request_id)

    def _unspecified(self, name: str, shape: tuple[int, ...], request_id: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"{id_prefix(request_id)}All input dimensions should be specified for input '{name}' for model "
            f"'{self.model}', got {_listed(shape)}"
        )

    def _strings(self, tensor: InputTensor, request_id: str) -> Array:
        if not isinstance(tensor.data, memoryview):
            count = math.prod(tensor.shape)
            if tensor.data.size != count:
                raise InvalidArgumentError(
                    f"{id_prefix(request_id)}expected {count} string elements for inference input '{tensor.name}' for "
                    f"model '{self.model}', got {tensor.data.size}"
                )
            return tensor.data.reshape(tensor.shape)
        try:
            return decode_bytes(tensor.data, tensor.shape, tensor.name, self.model)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(id_prefix(request_id) + str(error)) from None

    def _reshaped(self, array: Array, expected: ExpectedTensor) -> Array:
        """Give the array the shape the model wants; each -1 of `reshape` takes the next variable dimension."""
        lead, own = ((array.shape[0],), array.shape[1:]) if self.max_batch_size else ((), array.shape)
        variable = iter([got for want, got in zip(expected.dims, own, strict=True) if want == -1])
        model_dims = expected.model_dims or ()
        return array.reshape(lead + tuple([next(variable) if dim == -1 else dim for dim in model_dims]))


def _listed(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _expected(
    item: model_config_pb2.ModelInput | model_config_pb2.ModelOutput, optional: bool = False
) -> ExpectedTensor:
    return ExpectedTensor(
        name=item.name,
        datatype=BY_CONFIG_NAME[model_config_pb2.DataType.Name(item.data_type)],
        dims=tuple(item.dims),
        model_dims=tuple(item.reshape.shape) if item.HasField("reshape") else None,
        optional=optional,
    )
