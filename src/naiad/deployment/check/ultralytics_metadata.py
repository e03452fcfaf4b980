# SPDX-License-Identifier: Apache-2.0
"""Rules about `parameters.metadata`, from which Ultralytics' client takes class names, sizes and the task's details.

May import `vision`.
"""

from collections.abc import Iterator, Mapping, Sequence

from naiad.deployment.check import metadata
from naiad.deployment.check.findings import Finding, Severity
from naiad.deployment.check.subject import Subject
from naiad.vision.metadata import METADATA_PARAMETER, metadata_text, read_metadata

_SERVER_READS_IT = "take the parameter away: the server reads the metadata from the model file"


def check_metadata(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the metadata of an Ultralytics export, wherever they come from."""
    written = metadata_text(subject.written)
    if written is not None:
        yield from _check_text(subject, written)
    values = metadata_values(subject)
    if values is not None:
        yield from _check_values(subject, values)
    elif written is None:
        yield _missing_metadata(subject)


def metadata_values(subject: Subject) -> Mapping[str, object] | None:
    """Return the metadata that the client is told, its values read; None where there is none that can be read."""
    text = metadata_text(subject.written)
    if text is None:
        return artifact_metadata(subject)
    reading = metadata.read(text)
    return None if reading.is_json else reading.values


def artifact_metadata(subject: Subject) -> dict[str, object] | None:
    """Return the metadata of the model file, its values read; None where it is no Ultralytics export."""
    return None if subject.artifact is None else read_metadata(subject.artifact.metadata)


def _check_text(subject: Subject, text: str) -> Iterator[Finding]:
    """Check that the client can read the metadata that the user wrote."""
    reading = metadata.read(text)
    if reading.values is not None and not reading.is_json:
        return
    artifact = artifact_metadata(subject)
    if reading.is_json:
        rule, message = "yolo-metadata-json", "metadata is JSON, but Ultralytics' client reads a Python literal"
        fix = "write True, False and None for true, false and null"
        corrected = metadata.block(reading.values or {})
    else:
        rule, message = "yolo-metadata-unreadable", "Ultralytics' client cannot read the metadata, and fails with it"
        fix = "copy it from the model file, as one Python literal"
        corrected = metadata.block(artifact) if artifact else ""
    yield subject.finding(
        rule,
        Severity.ERROR,
        message,
        field=subject.parameter_field(METADATA_PARAMETER),
        expected="the text of a Python dict, which ast.literal_eval reads",
        got=f"{_start(text)} ({reading.reason})",
        fix=f"{fix}; or {_SERVER_READS_IT}" if artifact else fix,
        corrected=corrected,
    )


def _check_values(subject: Subject, values: Mapping[str, object]) -> Iterator[Finding]:
    own = artifact_metadata(subject)
    field = subject.parameter_field(METADATA_PARAMETER)
    objection = metadata.objection_to_names(values["names"]) if "names" in values else ""
    if objection:
        yield subject.finding(
            "yolo-metadata-names",
            Severity.ERROR,
            "Ultralytics' client cannot use the class names in the metadata",
            field=field,
            expected="names numbered from 0 without gaps, such as {0: 'person', 1: 'bicycle'}",
            got=objection,
            fix="number them, or export the model again",
            corrected=metadata.block(own) if own and field else "",
        )
    wanted = ["names", *(["kpt_shape"] if values.get("task") == "pose" else [])]
    missing = [key for key in wanted if key not in values]
    if missing:
        yield subject.finding(
            "yolo-metadata-incomplete",
            Severity.WARNING,
            f"metadata has no {' and no '.join(missing)}: Ultralytics' client {_consequences(missing)}",
            field=field,
            expected=", ".join(wanted),
            got=", ".join(map(str, values)),
            fix=f"add what is missing{f', or {_SERVER_READS_IT}' if own else ''}",
            corrected=metadata.block({key: own[key] for key in missing if key in own} | dict(values)) if own else "",
        )
    different = [key for key in ("task", "names", "stride", "imgsz", "end2end") if _differs(key, values, own or {})]
    if field and different:
        yield subject.finding(
            "yolo-metadata-differs",
            Severity.WARNING,
            f"metadata says other things than the model file: {', '.join(different)}; is it another model's?",
            field=field,
            expected=_start(", ".join(f"{key}: {(own or {})[key]}" for key in different)),
            got=_start(", ".join(f"{key}: {values[key]}" for key in different)),
            fix=_SERVER_READS_IT,
            corrected=metadata.block(own or {}),
        )


def _consequences(missing: Sequence[str]) -> str:
    told = {"names": "calls the classes class0, class1 and so on", "kpt_shape": "cannot read the keypoints"}
    return " and ".join(told[key] for key in missing)


def _differs(key: str, values: Mapping[str, object], own: Mapping[str, object]) -> bool:
    if key not in values or key not in own:
        return False
    if key == "names":
        return metadata.class_names(values) != metadata.class_names(own)
    left, right = (str(list(one)) if isinstance(one, tuple) else str(one) for one in (values[key], own[key]))
    return left != right


def _missing_metadata(subject: Subject) -> Finding:
    return subject.finding(
        "yolo-metadata-missing",
        Severity.WARNING,
        "it looks like a YOLO model, but has no metadata: Ultralytics' client calls its classes class0, class1 and so "
        "on, and cannot serve segment, pose and obb models at all",
        expected="metadata_props in the model file, as Ultralytics' exporter writes them, or parameters.metadata",
        got="neither",
        fix="deploy the file as Ultralytics exported it (tools that optimise a graph may drop its metadata), or write "
        "the block with the model's own values",
        corrected=metadata.block(
            {"task": "detect", "stride": 32, "imgsz": [640, 640], "names": {0: "first class", 1: "second class"}}
        ),
    )


def _start(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"
