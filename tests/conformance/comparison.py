# SPDX-License-Identifier: Apache-2.0
"""What differs between two answers, path by path; what may differ is written in `allowed`."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.conformance.wire import Answer, Conversation

_COMPARED_HEADERS = ("content-type", "content-encoding", "accept-encoding", "allow", "connection")
_LENGTH = "inference-header-content-length"
_SHOWN_BYTES = 1000

ABSENT = "(absent)"


class Difference(NamedTuple):
    """Something that one server says otherwise than the other; `path` says where, as `json.outputs[0].shape[1]`."""

    path: str
    triton: object
    naiad: object

    def __str__(self) -> str:
        return f"{self.path}\n    Triton: {self.triton!r}\n    Naiad:  {self.naiad!r}"


def differences(triton: Conversation, naiad: Conversation) -> Iterator[Difference]:
    """Yield all differences of two conversations that began with the same bytes."""
    if len(triton.answers) != len(naiad.answers):
        yield Difference("answers", *([answer.status for answer in one.answers] for one in (triton, naiad)))
        return
    for theirs, ours in zip(triton.answers, naiad.answers, strict=True):
        yield from _answers_differ(theirs, ours)
    if triton.closed != naiad.closed:
        yield Difference("closed", triton.closed, naiad.closed)


def shown(conversation: Conversation) -> str:
    """Return a conversation as a failing test prints it."""
    lines = [_shown_answer(answer) for answer in conversation.answers] or ["no answer"]
    if conversation.closed is not None:
        lines.append("then the connection was closed" if conversation.closed else "then the connection stayed open")
    return "\n".join(lines)


def values_differ(triton: object, naiad: object, path: str = "json") -> Iterator[Difference]:
    """Yield where two JSON values differ. 1 and 1.0 differ, the order of an object's members does not, NaN is NaN."""
    if isinstance(triton, dict) and isinstance(naiad, dict):
        for key in (*triton, *(key for key in naiad if key not in triton)):
            yield from values_differ(triton.get(key, ABSENT), naiad.get(key, ABSENT), f"{path}.{key}")
    elif isinstance(triton, list) and isinstance(naiad, list) and len(triton) == len(naiad):
        for index, (theirs, ours) in enumerate(zip(triton, naiad, strict=True)):
            yield from values_differ(theirs, ours, f"{path}[{index}]")
    elif type(triton) is not type(naiad) or repr(triton) != repr(naiad):
        yield Difference(path, triton, naiad)


def document(answer: Answer) -> Any:
    """Return the body of an answer, parsed; what isn't JSON, as text.

    The binary data of an output are its member `bytes`, in hexadecimal; those of no output are the member `left over`.
    """
    text, binary = _parts(answer)
    try:
        parsed = json.loads(text)
    except ValueError:
        return text.decode("latin-1")
    if _LENGTH in answer.headers:
        for output in parsed["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size", 0)
            output["bytes"], binary = binary[:size].hex(), binary[size:]
        parsed["left over"] = binary.hex()
    return parsed


def _answers_differ(triton: Answer, naiad: Answer) -> Iterator[Difference]:
    for name in ("version", "status", "reason", "interim"):
        if getattr(triton, name) != getattr(naiad, name):
            yield Difference(name, getattr(triton, name), getattr(naiad, name))
    for name in _COMPARED_HEADERS:
        theirs, ours = triton.headers.get(name, ABSENT), naiad.headers.get(name, ABSENT)
        if theirs != ours:
            of_an_error = " of an error" if name == "content-type" and min(triton.status, naiad.status) >= 400 else ""
            yield Difference(f"header {name}{of_an_error}", theirs, ours)
    if (_LENGTH in triton.headers) != (_LENGTH in naiad.headers):
        yield Difference(f"header {_LENGTH}", triton.headers.get(_LENGTH, ABSENT), naiad.headers.get(_LENGTH, ABSENT))
    theirs, ours = document(triton), document(naiad)
    their_order, our_order = _output_names(theirs), _output_names(ours)
    if their_order != our_order and sorted(their_order) == sorted(our_order):
        yield Difference("order of outputs", their_order, our_order)
        for one in (theirs, ours):
            one["outputs"].sort(key=lambda output: output["name"])
    yield from values_differ(theirs, ours)


def _parts(answer: Answer) -> tuple[bytes, bytes]:
    """Return an answer's decompressed body as its JSON part and the bytes behind."""
    body = answer.body
    match answer.headers.get("content-encoding"):
        case "gzip":
            body = gzip.decompress(body)
        case "deflate":
            body = zlib.decompress(body)
    length = int(answer.headers.get(_LENGTH, len(body)))
    return body[:length], body[length:]


def _output_names(parsed: Any) -> list[str]:
    return [output["name"] for output in parsed.get("outputs", ())] if isinstance(parsed, dict) else []


def _shown_answer(answer: Answer) -> str:
    text, binary = _parts(answer)
    headers = "".join(f"\n  {name}: {value}" for name, value in answer.headers.items())
    body = f"\n  {text[:_SHOWN_BYTES].decode('utf-8', 'backslashreplace')}" if text else ""
    behind = f"\n  + {len(binary)} bytes: {binary[:64].hex(' ')}" if binary else ""
    interim = "".join(f"(interim {status}) " for status in answer.interim)
    return f"{interim}{answer.version} {answer.status} {answer.reason}{headers}{body}{behind}"
