# SPDX-License-Identifier: Apache-2.0
"""Rules that hold a config against the model file, to explain all that a backend refuses it for, at once.

They are asked only when the backend has refused: what it accepts is right. May import `config`.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence

from naiad.config.proto import model_config_pb2
from naiad.config.signature import ArtifactTensor, dims_fit
from naiad.deployment.check.findings import Finding, Severity
from naiad.deployment.check.subject import Artifact, Subject, Tensor, model_dims, shown, tensor_text
from naiad.tensors import DATATYPES


def explain_disagreement(subject: Subject) -> Iterator[Finding]:
    """Yield where the user's config and the model file differ in what both say."""
    artifact = subject.artifact
    if artifact is None:
        return
    written = subject.written
    if written.max_batch_size > 0 and not artifact.signature.can_batch:
        yield _no_batching(subject, artifact)
        return  # the dims below would be compared with a batch dimension that is not there
    for kind, items in _lists(subject):
        for index, item in enumerate(items):
            tensor = artifact.find(kind, item.name)
            place = f"{kind}[{index}]"
            if tensor is None:
                yield _unknown_name(subject, artifact, kind, place, item)
                continue
            yield from _compare(subject, kind, place, item, tensor)
    yield from _missing_inputs(subject, artifact)


def _lists(subject: Subject) -> Iterator[tuple[str, Sequence[Tensor]]]:
    yield "input", subject.written.input
    yield "output", subject.written.output


def _no_batching(subject: Subject, artifact: Artifact) -> Finding:
    fixed = next(tensor for tensor in _all(artifact) if tensor.dims[:1] != (-1,))
    blocks = [
        tensor_text(kind, tensor, batching=False, existing=item)
        for kind, items in _lists(subject)
        for item in items
        if (tensor := artifact.find(kind, item.name)) is not None
    ]
    rows = fixed.dims[0] if fixed.dims else None
    size = f", always {rows} row{'s' if rows != 1 else ''}" if rows else ""
    return subject.finding(
        "graph-batch",
        Severity.ERROR,
        "max_batch_size asks for batches, but the model file has a fixed batch dimension",
        field="max_batch_size",
        expected="a first dimension of -1 in every tensor of the model file",
        got=f"{shown(fixed.dims)} for '{fixed.name}'{size}",
        fix="write max_batch_size: 0 and the whole shapes, or export the model again with a dynamic batch dimension "
        "(naiad deploy WEIGHTS.pt does)",
        corrected="".join(["max_batch_size: 0\n", *blocks]),
    )


def _unknown_name(subject: Subject, artifact: Artifact, kind: str, place: str, item: Tensor) -> Finding:
    names = [tensor.name for tensor in artifact.tensors(kind)]
    listed = {other.name for other in dict(_lists(subject))[kind]}
    free = [name for name in names if name not in listed]
    meant = next(iter(difflib.get_close_matches(item.name, free, n=1, cutoff=0.5) or free), None)
    tensor = artifact.find(kind, meant) if meant else None
    return subject.finding(
        "graph-name",
        Severity.ERROR,
        f"the model file has no {kind} '{item.name}'",
        field=f"{place}.name",
        expected=f"one of {_quoted(names)}",
        got=f"'{item.name}'",
        fix=f"write '{meant}'" if meant else f"take this {kind} away",
        corrected="" if tensor is None else tensor_text(kind, tensor, batching=_batches(subject), existing=item),
    )


def _compare(subject: Subject, kind: str, place: str, item: Tensor, tensor: ArtifactTensor) -> Iterator[Finding]:
    corrected = tensor_text(kind, tensor, batching=_batches(subject), existing=item)
    got = model_config_pb2.DataType.Name(item.data_type)
    provided = DATATYPES[tensor.datatype].config_name
    if got != provided:
        yield subject.finding(
            "graph-datatype",
            Severity.ERROR,
            f"{kind} '{item.name}' has another data type in the model file",
            field=f"{place}.data_type",
            expected=provided,
            got=got,
            fix=f"write data_type: {provided}",
            corrected=corrected,
        )
    dims = model_dims(item)
    own = tensor.dims[1:] if _batches(subject) else tensor.dims
    if not dims_fit(dims, own) and not (not own and set(dims) == {1}):
        yield subject.finding(
            "graph-dims",
            Severity.ERROR,
            f"the dims of {kind} '{item.name}' are not those of the model file{_why(dims, tensor, _batches(subject))}",
            field=f"{place}.reshape.shape" if item.HasField("reshape") else f"{place}.dims",
            expected=shown(own),
            got=shown(dims),
            fix=f"write dims: {shown(own) if own else '[1] reshape { shape: [] }'}, or leave inputs and outputs out "
            "and let the server read them",
            corrected=corrected,
        )


def _why(dims: tuple[int, ...], tensor: ArtifactTensor, batching: bool) -> str:
    """Return the usual mistake behind wrong dims, in words; empty for an unusual one."""
    if batching and len(dims) == len(tensor.dims) and dims_fit(dims[1:], tensor.dims[1:]):
        return ": they begin with the batch dimension, which max_batch_size > 0 adds itself"
    if not batching and len(dims) + 1 == len(tensor.dims) and dims_fit(dims, tensor.dims[1:]):
        return ": the batch dimension is missing, which belongs to them while max_batch_size is 0"
    return ""


def _missing_inputs(subject: Subject, artifact: Artifact) -> Iterator[Finding]:
    listed = {item.name for item in subject.written.input}
    known = {tensor.name for tensor in artifact.signature.inputs}
    misnamed = len(listed - known)  # each of them is told already, with the name that was probably meant
    missing = [tensor for tensor in artifact.signature.inputs if tensor.name not in listed]
    if not listed or len(missing) <= misnamed:
        return
    names = [tensor.name for tensor in missing]
    yield subject.finding(
        "graph-missing-input",
        Severity.ERROR,
        f"{_quoted(names)} of the model file {'is' if len(names) == 1 else 'are'} not listed",
        field="input[0]",
        expected=f"{len(known)} inputs: {_quoted(tensor.name for tensor in artifact.signature.inputs)}",
        got=_quoted(listed),
        fix="add what is missing",
        corrected="".join(tensor_text("input", tensor, batching=_batches(subject)) for tensor in missing),
    )


def _batches(subject: Subject) -> bool:
    return subject.written.max_batch_size > 0


def _all(artifact: Artifact) -> tuple[ArtifactTensor, ...]:
    return (*artifact.signature.inputs, *artifact.signature.outputs)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
