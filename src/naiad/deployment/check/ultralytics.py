# SPDX-License-Identifier: Apache-2.0
"""Rules that only matter to Ultralytics' client, `YOLO("http://host:8000/model")`: Triton serves such models happily.

The client reads three things of a served config: inputs, outputs, and `parameters.metadata`. May import `vision`.
"""

from collections.abc import Iterator, Mapping

from naiad.config.proto import model_config_pb2
from naiad.config.signature import ArtifactTensor
from naiad.deployment.check import metadata
from naiad.deployment.check.findings import Finding, Severity, command
from naiad.deployment.check.subject import Subject, Tensor, model_dims, shown, tensor_text
from naiad.deployment.check.ultralytics_metadata import artifact_metadata, check_metadata, metadata_values
from naiad.deployment.names import suggest_model_name
from naiad.vision.metadata import client_mistakes_for_file, metadata_text

_SENDABLE = ("TYPE_FP32", "TYPE_FP16", "TYPE_UINT8")
_INPUT, _OUTPUT = "images", "output0"
"""What Ultralytics' exporter calls them."""


def check_for_ultralytics(subject: Subject) -> Iterator[Finding]:
    """Yield what keeps Ultralytics' client from using the model, if it is one of Ultralytics'."""
    if not _is_of_ultralytics(subject):
        return
    yield from _check_name(subject)
    yield from _check_inputs(subject)
    yield from _check_outputs(subject)
    yield from check_metadata(subject)
    values = metadata_values(subject)
    if values is not None:
        yield from _check_sizes(subject, values)


def _is_of_ultralytics(subject: Subject) -> bool:
    """Tell an Ultralytics export by its metadata, else by the names that its exporter gives."""
    if artifact_metadata(subject) is not None or metadata_text(subject.written) is not None:
        return True
    if subject.artifact is None:
        return False
    inputs, outputs = ([tensor.name for tensor in subject.artifact.tensors(kind)] for kind in ("input", "output"))
    return inputs == [_INPUT] and _OUTPUT in outputs


def _inputs(subject: Subject) -> list[Tensor]:
    return list((subject.served or subject.written).input)


def _outputs(subject: Subject) -> list[Tensor]:
    return list((subject.served or subject.written).output)


def _check_name(subject: Subject) -> Iterator[Finding]:
    name = subject.definition.name
    suffix = client_mistakes_for_file(name)
    if suffix is None:
        return
    directory = subject.definition.found.directory
    target = directory.with_name(suggest_model_name(name))
    yield subject.finding(
        "yolo-name",
        Severity.ERROR,
        f"Ultralytics' client takes a name with '{suffix}' in it for a file, and asks no server",
        field="name",
        expected=f"a name such as '{target.name}'",
        got=f"'{name}'",
        fix=command("mv", directory, target),
        corrected=f'name: "{target.name}"',
    )


def _check_inputs(subject: Subject) -> Iterator[Finding]:
    for index, item in enumerate(_inputs(subject)):
        data_type = model_config_pb2.DataType.Name(item.data_type)
        if data_type not in _SENDABLE:
            yield subject.finding(
                "yolo-input-type",
                Severity.ERROR,
                f"Ultralytics' client cannot send input '{item.name}': it fails with KeyError: '{data_type}'",
                field=f"input[{index}].data_type",
                expected=f"one of {', '.join(_SENDABLE)}",
                got=data_type,
                fix="export the model again with a float input, or put a Cast at the beginning of its graph",
                corrected=_as_float(item),
            )
    if _inputs(subject):
        yield from _check_batch(subject, _inputs(subject)[0])


def _as_float(item: Tensor) -> str:
    tensor = ArtifactTensor(item.name, "FP32", model_dims(item))
    return tensor_text("input", tensor, batching=False)


def _check_batch(subject: Subject, item: Tensor) -> Iterator[Finding]:
    dims = model_dims(item)
    if (subject.served or subject.written).max_batch_size == 0 and len(dims) == 4 and dims[0] > 1:
        yield subject.finding(
            "yolo-fixed-batch",
            Severity.ERROR,
            f"the model takes {dims[0]} pictures at a time, neither more nor fewer; Ultralytics' client sends one",
            field="input[0].dims",
            expected="a batch dimension of -1, or of 1",
            got=shown(dims),
            fix="export the model again with a dynamic batch dimension, "
            + command("naiad", "deploy", "WEIGHTS.pt", "--name", subject.definition.name),
            corrected=f"dims: {shown((-1, *dims[1:]))}",
        )


def _check_outputs(subject: Subject) -> Iterator[Finding]:
    given = _graph_outputs(subject)
    if given != sorted(given):
        yield subject.finding(
            "yolo-output-order",
            Severity.ERROR,
            "Ultralytics' client sorts outputs by name, and takes them for others than they are",
            field="output[0].name",
            expected=f"names that sort as the model gives them, such as {_numbered(len(given))}",
            got=f"{', '.join(given)}, which the client reads as {', '.join(sorted(given))}",
            fix="keep the names that Ultralytics' exporter gives: rename the outputs in the graph, or export again",
            corrected="\n".join(f'output {{ name: "output{index}" }}  # {name}' for index, name in enumerate(given)),
        )
    listed = {item.name for item in _outputs(subject)}
    unlisted = [name for name in given if name not in listed]
    if unlisted and listed and listed <= set(given) and subject.artifact is not None:
        missing = [tensor for name in unlisted if (tensor := subject.artifact.find("output", name)) is not None]
        batching = (subject.served or subject.written).max_batch_size > 0
        yield subject.finding(
            "yolo-output-missing",
            Severity.ERROR,
            f"output {', '.join(unlisted)} of the model file is not listed, so Ultralytics' client does not get it",
            field="output[0]",
            expected=", ".join(given),
            got=", ".join(sorted(listed)),
            fix="add what is missing, or leave all outputs out",
            corrected="".join(tensor_text("output", tensor, batching=batching) for tensor in missing),
        )


def _graph_outputs(subject: Subject) -> list[str]:
    if subject.artifact is None:
        return []
    return [tensor.name for tensor in subject.artifact.signature.outputs]


def _numbered(count: int) -> str:
    return ", ".join(f"output{index}" for index in range(count))


def _check_sizes(subject: Subject, values: Mapping[str, object]) -> Iterator[Finding]:
    """Check that the model takes the sizes of pictures that the metadata makes the client send."""
    if len(_inputs(subject)) != 1:
        return
    dims = model_dims(_inputs(subject)[0])
    height_width = dims[-2:]
    if len(dims) != _rank(subject, len(dims)) or len(dims) < 3 or height_width == (-1, -1):
        return
    if metadata.is_dynamic(values):
        yield _fixed_dims(subject, values, dims)
        return
    size = metadata.image_size(values)
    if size is not None and not all(have in (-1, want) for have, want in zip(height_width, size, strict=True)):
        yield subject.finding(
            "yolo-image-size",
            Severity.ERROR,
            f"Ultralytics' client sends pictures of {_size(size)}, as the metadata says, and the model refuses them",
            field="input[0].dims",
            expected=shown((*dims[:-2], *size)),
            got=shown(dims),
            fix="make the two agree: export the model again, with the imgsz that is wanted",
            corrected=f"dims: {shown((*dims[:-2], *size))}",
        )


def _rank(subject: Subject, default: int) -> int:
    """Return how many dims the input must have; other dims are wrong as a whole, which another rule tells."""
    if subject.artifact is None or not subject.artifact.signature.inputs:
        return default
    return len(subject.artifact.signature.inputs[0].dims) - ((subject.served or subject.written).max_batch_size > 0)


def _fixed_dims(subject: Subject, values: Mapping[str, object], dims: tuple[int, ...]) -> Finding:
    tensor = subject.artifact.signature.inputs[0] if subject.artifact and subject.artifact.signature.inputs else None
    if tensor is None or tensor.dims[-2:] == (-1, -1):
        fix = "write -1 for height and width, as the model file has them; or leave inputs and outputs out"
        corrected = _listed_blocks(subject) or f"dims: {shown((*dims[:-2], -1, -1))}"
    else:
        fix = "export the model again with dynamic sizes, or say in its metadata that it is not dynamic"
        arguments = values.get("args")
        still = {"args": {**arguments, "dynamic": False}} if isinstance(arguments, Mapping) else {}
        corrected = metadata.block({**values, **still})
    return subject.finding(
        "yolo-fixed-dims",
        Severity.ERROR,
        "the metadata says dynamic, so Ultralytics' client sends a photo as, say, 384x640: the dims refuse it with 400",
        field="input[0].dims",
        expected=shown((*dims[:-2], -1, -1)),
        got=shown(dims),
        fix=fix,
        corrected=corrected,
    )


def _listed_blocks(subject: Subject) -> str:
    """Return the listed inputs and outputs as the model file has them; empty where it cannot be read."""
    artifact = subject.artifact
    if artifact is None:
        return ""
    batching = subject.written.max_batch_size > 0
    listed: list[tuple[str, list[Tensor]]] = [
        ("input", list(subject.written.input)),
        ("output", list(subject.written.output)),
    ]
    return "".join(
        tensor_text(kind, tensor, batching=batching, existing=item)
        for kind, items in listed
        for item in items
        if (tensor := artifact.find(kind, item.name)) is not None
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
