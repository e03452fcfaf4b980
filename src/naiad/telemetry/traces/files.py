# SPDX-License-Identifier: Apache-2.0
"""Triton's trace files: arrays of JSON objects, as its `trace_summary.py` reads them. Used on the writer's thread only.

Where Triton writes what no JSON parser takes, or nothing, this differs: strings are escaped, 8-bit integers are numbers
(Triton: characters), and FP16 and BF16 tensors have their data (Triton: none).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from naiad.telemetry.traces.trace import REQUEST_START, Series, TensorNote, Trace
from naiad.tensors import Array, bf16_to_float32


class TraceFiles:
    """Writes traces to `path` as they come, closing the array at the end.

    Those of a series that is limited fill `path.0`, `path.1`, ... instead, each once `log_frequency` or `count` traces
    are there; until then its name ends in `.part`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: _Array | None = None
        self._index = 0
        self._numbered: dict[Series, _Array] = {}
        self._taken: dict[Series, int] = {}

    def write(self, trace: Trace) -> None:
        """Append a trace; one of a request that no model has accepted leaves nothing, as in Triton.

        Raises:
            OSError: the file cannot be written.
        """
        text = ",".join(records(trace)) if trace.has_started else ""
        series = trace.series
        if series.log_frequency or series.count > 0:
            self._write_numbered(series, text)
            return
        if self._all is None:
            self._all = _Array(self._path)
        if text:
            self._all.append(text)

    def _write_numbered(self, series: Series, text: str) -> None:
        taken = self._taken[series] = self._taken.get(series, 0) + 1
        array = self._numbered.get(series)
        if text:
            if array is None:
                path = self._path.with_name(f"{self._path.name}.{self._index}")
                array = self._numbered[series] = _Array(path, ".part")
                self._index += 1
            array.append(text)
        if array is not None and (array.length == series.log_frequency or taken == series.count):
            del self._numbered[series]
            array.close()

    def end(self, series: Series) -> None:
        """Finish the file that a series has begun."""
        self._taken.pop(series, None)
        array = self._numbered.pop(series, None)
        if array is not None:
            array.close()

    def close(self) -> None:
        """Finish all files."""
        for array in (*self._numbered.values(), self._all):
            if array is not None:
                array.close()
        self._numbered.clear()
        self._all = None


class _Array:
    """A file that holds a JSON array of `length` traces' records; `suffix` is behind its name until it is whole."""

    def __init__(self, path: Path, suffix: str = "") -> None:
        self._path = path
        self._unfinished = path.with_name(path.name + suffix)
        self._file = self._unfinished.open("w", encoding="utf-8", errors="backslashreplace")
        self._file.write("[")
        self.length = 0

    def append(self, text: str) -> None:
        self.length += 1
        self._file.write(text if self.length == 1 else "," + text)
        self._file.flush()

    def close(self) -> None:
        self._file.write("]")
        self._file.close()
        self._unfinished.replace(self._path)


def records(trace: Trace) -> Iterator[str]:
    """Yield the JSON objects of a trace; that of its model comes before REQUEST_START."""
    number = trace.id
    for note in trace.notes:
        if isinstance(note, TensorNote):
            shape = ",".join(map(str, note.shape))
            tensor = {
                "name": note.name,
                "data": shown(note.array, note.datatype),
                "shape": shape,
                "dtype": note.datatype,
            }
            yield _json({"id": number, "activity": note.activity, "tensor": tensor})
            continue
        if note.name == REQUEST_START:
            yield _json(_model(trace))
        # By far the most of what is written, and its names need no escapes.
        yield f'{{"id":{number},"timestamps":[{{"name":"{note.name}","ns":{note.ns}}}]}}'


def _model(trace: Trace) -> dict[str, object]:
    model: dict[str, object] = {
        "id": trace.id,
        "model_name": trace.model_name,
        "model_version": int(trace.model_version),
    }
    if trace.request_id:
        model["request_id"] = trace.request_id
    if trace.parent_id:
        model["parent_id"] = trace.parent_id
    return model


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def shown(array: Array, datatype: str) -> str:
    """Return a tensor's elements as Triton shows them: separated by commas, floats with six digits, strings quoted."""
    if datatype == "BF16":
        array = bf16_to_float32(array)
    return ",".join(map(_shown_as(datatype), array.ravel().tolist()))


def _shown_as(datatype: str) -> Callable[[object], str]:
    if datatype == "BYTES":
        return _shown_string
    if datatype == "BOOL":
        return lambda element: "1" if element else "0"
    return "{:.6g}".format if datatype.startswith(("FP", "BF")) else str


def _shown_string(element: object) -> str:
    text = element.decode("utf-8", "backslashreplace") if isinstance(element, bytes) else str(element)
    return f'"{text}"'
