# SPDX-License-Identifier: Apache-2.0
"""Does a config agree with the graph it is for? The checks and texts of Triton's onnxruntime_backend.

Pure functions. May import `config`, `errors`, `tensors`.
"""

from collections.abc import Iterable, Sequence

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.config.signature import ArtifactSignature, ArtifactTensor, dims_fit
from naiad.errors import InvalidArgumentError
from naiad.tensors import BY_CONFIG_NAME, DATATYPES

_OR_LEAVE_OUT = "or leave inputs and outputs out of config.pbtxt and let the server read them from the model"

_TensorConfig = model_config_pb2.ModelInput | model_config_pb2.ModelOutput


def check_agreement(
    config: ModelConfig, signature: ArtifactSignature, model: str, overridable: Sequence[ArtifactTensor] = ()
) -> None:
    """Check the inputs and outputs that a completed `config` lists against the graph.

    `overridable` are inputs with a default in the graph; the config may list them. Not every output must be listed.

    Raises:
        InvalidArgumentError: a tensor that the graph does not have, or another number of inputs, datatype or shape.
    """
    required = {tensor.name for tensor in signature.inputs}
    allowed = {tensor.name: tensor for tensor in (*signature.inputs, *overridable)}
    given = {tensor.name: tensor for tensor in signature.outputs}
    listed = sum(item.name in required or item.name not in allowed for item in config.input) + _inputs_of_scheduling(
        config
    )
    if listed != len(required):
        raise InvalidArgumentError(
            f"unable to load model '{model}', configuration expects {listed} inputs, model provides {len(required)}: "
            f"{', '.join(map(_described, signature.inputs))}; list exactly these, {_OR_LEAVE_OUT}"
        )
    _check_tensors("input", config.input, allowed, config.max_batch_size, model)
    _check_tensors("output", config.output, given, config.max_batch_size, model)


def _inputs_of_scheduling(config: ModelConfig) -> int:
    """Return the number of inputs that the scheduler fills: sequence controls and states, batch inputs."""
    sequence = config.sequence_batching
    batch_inputs = sum(len(item.target_name) for item in config.batch_input)
    return len(sequence.control_input) + len(sequence.state) + batch_inputs


def _check_tensors(
    kind: str, items: Iterable[_TensorConfig], tensors: dict[str, ArtifactTensor], max_batch_size: int, model: str
) -> None:
    for item in items:
        tensor = tensors.get(item.name)
        if tensor is None:
            raise InvalidArgumentError(
                f"unexpected inference {kind} '{item.name}', allowed {kind}s are: {', '.join(sorted(tensors))}; "
                f"mend the name, {_OR_LEAVE_OUT}"
            )
        _check_datatype(kind, item, tensor, model)
        dims = tuple(item.reshape.shape) if item.HasField("reshape") else tuple(item.dims)
        if not getattr(item, "allow_ragged_batch", False):
            _check_dims(dims, tensor, max_batch_size, model)


def _check_datatype(kind: str, item: _TensorConfig, tensor: ArtifactTensor, model: str) -> None:
    listed = model_config_pb2.DataType.Name(item.data_type)
    row = BY_CONFIG_NAME.get(listed)
    if row is None or row.name != tensor.datatype:
        provided = DATATYPES[tensor.datatype].config_name
        raise InvalidArgumentError(
            f"unable to load model '{model}', configuration expects datatype {listed} for {kind} '{item.name}', "
            f"model provides {provided}; write data_type: {provided}, {_OR_LEAVE_OUT}"
        )


def _check_dims(dims: tuple[int, ...], tensor: ArtifactTensor, max_batch_size: int, model: str) -> None:
    where = f"model '{model}', tensor '{tensor.name}': "
    shape = _shape(tensor.dims)
    if max_batch_size > 0:
        if tensor.dims[:1] != (-1,):
            raise InvalidArgumentError(
                f"{where}for the model to support batching the shape should have at least 1 dimension and the first "
                f"dimension must be -1; but shape expected by the model is {shape}; write max_batch_size: 0, or "
                "export the model with a dynamic batch dimension"
            )
        complete = (-1, *dims)
        if not dims_fit(complete, tensor.dims):
            raise InvalidArgumentError(
                f"{where}the model expects {len(tensor.dims)} dimensions (shape {shape}) but the model configuration "
                f"specifies {len(complete)} dimensions (an initial batch dimension because max_batch_size > 0 followed "
                f"by the explicit tensor shape, making complete shape {_shape(complete)}); "
                f"write {_to_write(tensor.dims[1:])}, {_OR_LEAVE_OUT}"
            )
    elif not dims_fit(dims, tensor.dims) and not _is_scalar(dims, tensor):
        raise InvalidArgumentError(
            f"{where}the model expects {len(tensor.dims)} dimensions (shape {shape}) but the model configuration "
            f"specifies {len(dims)} dimensions (shape {_shape(dims)}); write {_to_write(tensor.dims)}, {_OR_LEAVE_OUT}"
        )


def _is_scalar(dims: tuple[int, ...], tensor: ArtifactTensor) -> bool:
    """Tell whether `dims` name the one element of a scalar, which Triton has written as dims: [ 1 ]."""
    return not tensor.dims and set(dims) == {1}


def _to_write(dims: tuple[int, ...]) -> str:
    return f"dims: {_shape(dims)}" if dims else "dims: [1] reshape { shape: [] }"


def _described(tensor: ArtifactTensor) -> str:
    return f"{tensor.name} {DATATYPES[tensor.datatype].config_name} {_shape(tensor.dims)}"


def _shape(dims: Iterable[int]) -> str:
    return f"[{','.join(map(str, dims))}]"
