# SPDX-License-Identifier: Apache-2.0
"""How a text should read that `config` has found a problem in. Pure. May import `config`."""

import re

from naiad.config import pbtxt
from naiad.config.problems import Problem
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.deployment.check.subject import Artifact, tensor_text

_Group = model_config_pb2.ModelInstanceGroup


def corrected_line(problem: Problem, text: str) -> str:
    """Return the line of a config that is no protobuf text, put right where the problem's fix says how; else ""."""
    lines = text.split("\n")
    if not 0 < problem.line <= len(lines):
        return ""
    line = lines[problem.line - 1].strip()
    name = re.sub(r"\[\d+\]$", "", problem.field).rpartition(".")[2]
    rename = re.fullmatch(r"write '(\w+)'", problem.fix)
    if rename and name:
        return re.sub(rf"\b{re.escape(name)}\b", rename[1], line, count=1)
    value = re.match(r"write (?:\w+: )?([-\w.]+|\"[^\"]*\")(?:$|,| for | with )", problem.fix)
    if value and problem.got and problem.got in line:
        return line.replace(problem.got, value[1], 1)
    return ""


def corrected_field(problem: Problem, config: ModelConfig, artifact: Artifact | None) -> str:
    """Return the field of a config that makes no sense, as it should read; empty where that cannot be told.

    `artifact` is what the model file says, where it can be read.
    """
    path = re.sub(r"\[\d+\]", "", problem.field)
    found = re.search(r"\[(\d+)\]", problem.field)
    index = int(found[1]) if found else 0
    corrected = ""
    match path.split("."):
        case ["name"]:
            corrected = "name: " + problem.expected.replace("'", '"')
        case ["max_batch_size"]:
            corrected = "max_batch_size: 0"
        case ["version_policy", *_]:
            corrected = "version_policy { latest { num_versions: 1 } }"
        case ["dynamic_batching", "preferred_batch_size"]:
            corrected = _preferred_sizes(config)
        case ["instance_group", field]:
            corrected = _instance_group(config.instance_group[index], field)
        case ["input" | "output" as kind, *_] if artifact is not None:
            corrected = _tensor(kind, config, artifact, index)
    return corrected


def _preferred_sizes(config: ModelConfig) -> str:
    corrected = ModelConfig()
    corrected.dynamic_batching.CopyFrom(config.dynamic_batching)
    sizes = [size for size in config.dynamic_batching.preferred_batch_size if 0 < size <= config.max_batch_size]
    corrected.dynamic_batching.preferred_batch_size[:] = sizes
    return pbtxt.dump(corrected)


def _instance_group(written: model_config_pb2.ModelInstanceGroup, wrong_field: str) -> str:
    corrected = ModelConfig()
    group = corrected.instance_group.add()
    group.CopyFrom(written)
    if wrong_field == "profile":
        group.ClearField("profile")
    else:
        group.ClearField("gpus")
        if group.kind == _Group.KIND_GPU:
            group.kind = _Group.KIND_AUTO
    text = pbtxt.dump(corrected)
    # It leaves out what is the default anyway, but the reader should see what has changed.
    return text.replace("{\n", "{\n  kind: KIND_AUTO\n", 1) if group.kind == _Group.KIND_AUTO else text


def _tensor(kind: str, config: ModelConfig, artifact: Artifact, index: int) -> str:
    """Write the tensor as the model file has it: by its name, else by its position."""
    listed = config.input if kind == "input" else config.output
    known = artifact.tensors(kind)
    if index >= len(listed):
        return ""
    tensor = artifact.find(kind, listed[index].name) or (known[index] if index < len(known) else None)
    batching = config.max_batch_size > 0 and artifact.signature.can_batch
    return "" if tensor is None else tensor_text(kind, tensor, batching=batching, existing=listed[index])
