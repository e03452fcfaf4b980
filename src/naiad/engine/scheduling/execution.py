# SPDX-License-Identifier: Apache-2.0
"""One batch through one instance: merge the rows, run, split the rows. Runs on an instance's thread.

No row may be lost, doubled or given to another request: an output that does not have as many rows as went in fails
the batch, and only the batch.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from naiad.backends.base import ModelInstance
from naiad.engine.signature import BoundRequest, ExpectedTensor, Signature
from naiad.errors import InternalError, NaiadError
from naiad.requests import OutputTensor
from naiad.telemetry.statistics import Timings
from naiad.tensors import Array

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What came of a batch: per request its outputs, or one error for all."""

    results: Sequence[tuple[OutputTensor, ...]] | NaiadError
    timings: Timings


def execute(instance: ModelInstance, signature: Signature, batch: Sequence[BoundRequest]) -> Outcome:
    """Run `batch`, requests of equal `batch_key`, as one execution of `instance`.

    This is a named boundary: whatever a backend raises becomes the batch's error, and the instance lives on.
    """
    start_ns = time.monotonic_ns()
    input_end_ns = infer_end_ns = start_ns
    results: Sequence[tuple[OutputTensor, ...]] | NaiadError
    try:
        inputs, names = _merged(batch)
        input_end_ns = time.monotonic_ns()
        arrays = instance.run(inputs, names)
        infer_end_ns = time.monotonic_ns()
        results = _split(arrays, signature, batch)
    except NaiadError as error:
        results = error.with_traceback(None)  # it holds this frame, and with it the error and the inputs: a circle
    except BaseException as error:  # noqa: BLE001 - the boundary named above: SystemExit would end the thread in silence
        _log.exception("model '%s' failed", signature.model)
        results = InternalError(f"model '{signature.model}' failed with {type(error).__name__}; see the server's log")
    output_end_ns = time.monotonic_ns()
    return Outcome(results, Timings(start_ns, input_end_ns, max(infer_end_ns, input_end_ns), output_end_ns))


def _merged(batch: Sequence[BoundRequest]) -> tuple[Mapping[str, Array], Sequence[str]]:
    """Return the batch's inputs, rows after rows, and the names of all outputs that anyone wants."""
    if len(batch) == 1:
        return batch[0].arrays, batch[0].outputs
    inputs = {name: np.concatenate([bound.arrays[name] for bound in batch]) for name in batch[0].arrays}
    names = dict.fromkeys(name for bound in batch for name in bound.outputs)
    return inputs, tuple(names)


def _split(
    arrays: Mapping[str, Array], signature: Signature, batch: Sequence[BoundRequest]
) -> list[tuple[OutputTensor, ...]]:
    expected = signature.outputs
    if len(batch) == 1:
        return [tuple([output_tensor(expected[name], arrays[name], signature) for name in batch[0].outputs])]
    total = sum(bound.rows for bound in batch)
    for name, array in arrays.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise InternalError(
                f"output '{name}' of model '{signature.model}' has shape {list(array.shape)} for a batch of {total} "
                "rows, expected its first dimension to be the number of rows; export the model with a batch dimension "
                "on every output, or set max_batch_size: 0"
            )
    results = []
    start = 0
    for bound in batch:
        end = start + bound.rows
        results.append(
            tuple([output_tensor(expected[name], arrays[name][start:end], signature) for name in bound.outputs])
        )
        start = end
    return results


def output_tensor(expected: ExpectedTensor, array: Array, signature: Signature) -> OutputTensor:
    """Return what the model has made as the output that the client is promised: a `reshape` of the config is undone."""
    if expected.model_dims is not None:
        lead = array.shape[:1] if signature.max_batch_size else ()
        array = array.reshape(lead + expected.dims)
    return OutputTensor(expected.name, expected.datatype.name, array.shape, array)
