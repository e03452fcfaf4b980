# SPDX-License-Identifier: Apache-2.0
"""What a check finds: a problem, how bad it is, the rule that saw it, and how the text should read.

May import `config`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from naiad.config.problems import Problem


class Severity(Enum):
    """How bad a finding is: whether the model, or its usual client, can work at all."""

    ERROR = "error"
    """The model is not served, or the client it was exported for cannot use it."""
    WARNING = "warning"
    """It works, and probably not as it was meant to."""
    NOTE = "note"
    """It works; good to know on another machine."""


RULES: Mapping[str, str] = {
    "backend": "no backend fits the model, or it is not available here",
    "backend-remark": "what the backend warns about when it opens the model",
    "config-field": "a field of config.pbtxt makes no sense, or asks for what cannot be served yet",
    "config-option": "a parameter or accelerator keeps the backend from opening the model",
    "config-syntax": "config.pbtxt is no protobuf text, or names a field there is none of",
    "container-path": "a path that exists in a container, and not on this machine",
    "duplicate-model": "the model lies in two repositories, and is served from none",
    "file-content": "the model file is something else than ONNX, whatever its name",
    "file-format": "weights of another format than ONNX",
    "file-name": "the model file has another name than the server looks for",
    "file-place": "the model file lies beside the version directories",
    "graph": "the backend refuses config and model file together, in its own words",
    "graph-batch": "max_batch_size asks for batches of a model whose batch dimension is fixed",
    "graph-datatype": "a data type that is not the model file's",
    "graph-dims": "dims that are not the model file's",
    "graph-missing-input": "an input of the model file is not listed",
    "graph-name": "an input or output that the model file does not have",
    "label-file": "a label file cannot be read",
    "load": "the check itself failed on the model",
    "loose-weights": "weights lie beside the models",
    "model-file": "the runtime cannot read the model file",
    "no-model-file": "a version without a model file",
    "nested-repository": "the directory holds models, so it is a repository itself",
    "no-version": "no version directory, or none that the version policy allows",
    "version-missing": "the version policy names a version that is not there",
    "version-name": "a directory whose name is no version number",
    "yolo-fixed-batch": "the model takes several pictures at a time, the client sends one",
    "yolo-fixed-dims": "fixed height and width, and metadata that say dynamic",
    "yolo-image-size": "the metadata's picture size is not the model's",
    "yolo-input-type": "an input of a data type that the client cannot send",
    "yolo-metadata-differs": "the config's metadata contradict the model file's",
    "yolo-metadata-incomplete": "metadata without class names, or without the keypoints of a pose model",
    "yolo-metadata-json": "metadata in JSON; the client reads a Python literal",
    "yolo-metadata-missing": "a YOLO model without metadata",
    "yolo-metadata-names": "class names that the client refuses",
    "yolo-metadata-unreadable": "metadata that are neither a Python literal nor JSON",
    "yolo-name": "a model name that the client takes for a file",
    "yolo-output-missing": "an output that the config does not list",
    "yolo-output-order": "outputs whose names do not sort in the model's order",
}
"""Every rule and what it is about. Names are stable: CI scripts match on them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `rule` is a key of `RULES`; `corrected` is the text as it should read, empty where none can be told.

    `corrected` is protobuf text for a problem of config.pbtxt, a path or a command for one of files.
    """

    rule: str
    severity: Severity
    problem: Problem
    corrected: str = ""


def command(*words: object) -> str:
    """Return the fix that is a command to run, quoted for a shell."""
    return f"run: {shlex.join(map(str, words))}"
