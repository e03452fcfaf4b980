# SPDX-License-Identifier: Apache-2.0
"""Where in a config.pbtxt a field stands.

A walk over the tokens of protobuf's own tokenizer. It reads on until the first thing it doesn't know, so that it
serves for broken texts too: what stands before the mistake is what the mistake is about.
May import protobuf and `proto`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from naiad.config.proto import model_config_pb2

_SCHEMA: Descriptor = model_config_pb2.DESCRIPTOR.message_types_by_name["ModelConfig"]


class Mark(NamedTuple):
    """One field as written: `path` as in `input[0].dims[1]`, where it begins (both from 1), what the schema says.

    `field` is None for a name that the schema doesn't know.
    """

    path: str
    line: int
    column: int
    field: FieldDescriptor | None


def read_marks(text: str) -> tuple[Mark, ...]:
    """Return the marks of a text in the order they are written, up to the first unknown field."""
    return tuple(_Walk(text).read_message(_SCHEMA, "", ""))


def find_line(marks: Iterable[Mark], path: str) -> int:
    """Return the line of `path`, else of the nearest message around it, else 0."""
    lines: dict[str, int] = {}
    for mark in marks:
        lines.setdefault(mark.path, mark.line)
    while path and path not in lines:
        path = parent_path(path)
    return lines.get(path, 0)


def parent_path(path: str) -> str:
    """Return the path of what holds `path`: `a[0].b[1]` is in `a[0].b`, and that in `a[0]`, in `a`, in ``."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


class _Walk:
    def __init__(self, text: str) -> None:
        # Any: typeshed's Tokenizer.ParseError takes a Message, the real one a text.
        self._tokens: Any = text_format.Tokenizer(text.split("\n"))

    def read_message(self, schema: Descriptor, prefix: str, end: str) -> Iterator[Mark]:
        """Yield the marks of the fields up to the token `end`, or to the end of the text."""
        counts: Counter[str] = Counter()
        while not self._tokens.AtEnd() and self._tokens.token != end:
            name = self._tokens.token
            field = schema.fields_by_name.get(name)
            mark = self._mark(prefix + name, field)
            yield mark
            if field is None:
                while not self._tokens.AtEnd():
                    self._tokens.NextToken()
                return
            self._tokens.NextToken()
            yield from self._read_values(mark, field, counts)

    def _read_values(self, mark: Mark, field: FieldDescriptor, counts: Counter[str]) -> Iterator[Mark]:
        self._tokens.TryConsume(":")
        if self._tokens.TryConsume("["):
            while not self._tokens.AtEnd() and self._tokens.token not in ("]", "}"):
                entry = self._mark(_indexed(mark.path, counts), field)
                yield entry
                yield from self._read_value(entry)
                self._tokens.TryConsume(",")
            self._tokens.TryConsume("]")
        elif field.is_repeated:
            entry = mark._replace(path=_indexed(mark.path, counts))
            yield entry
            yield from self._read_value(entry)
        else:
            yield from self._read_value(mark)
        if not self._tokens.TryConsume(","):
            self._tokens.TryConsume(";")

    def _read_value(self, mark: Mark) -> Iterator[Mark]:
        schema = mark.field.message_type if mark.field else None
        for opening, closing in ("{}", "<>"):
            if schema is not None and self._tokens.TryConsume(opening):
                yield from self.read_message(schema, f"{mark.path}.", closing)
                self._tokens.TryConsume(closing)
                return
        if self._tokens.token not in ("]", "}"):
            self._tokens.NextToken()
        while self._tokens.token.startswith(('"', "'")):  # neighbouring strings are one
            self._tokens.NextToken()

    def _mark(self, path: str, field: FieldDescriptor | None) -> Mark:
        here = self._tokens.ParseError("")
        return Mark(path, here.GetLine(), here.GetColumn(), field)


def _indexed(path: str, counts: Counter[str]) -> str:
    counts[path] += 1
    return f"{path}[{counts[path] - 1}]"
