# SPDX-License-Identifier: Apache-2.0
"""What protobuf's parse error means: its line and message become a `Problem` with the field and a fix.

`explain` asks the readers below one after another; each knows one family of protobuf's messages, and the last tells
what protobuf said. May import protobuf and what lies beside it.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.text_format import ParseError

from naiad.config.location import Mark, find_line, parent_path, read_marks
from naiad.config.problems import Problem
from naiad.config.proto import model_config_pb2

_FIELD_ALIASES = {"shape": "dims", "type": "data_type", "max_batch": "max_batch_size", "file": "default_model_filename"}
"""What people write, and what it is called; for names that are too far off for difflib."""

_ENUM_ALIASES = {
    "FLOAT": "TYPE_FP32",
    "FLOAT16": "TYPE_FP16",
    "FLOAT32": "TYPE_FP32",
    "FLOAT64": "TYPE_FP64",
    "DOUBLE": "TYPE_FP64",
    "HALF": "TYPE_FP16",
    "BFLOAT16": "TYPE_BF16",
    "INT": "TYPE_INT32",
    "LONG": "TYPE_INT64",
    "BYTES": "TYPE_STRING",
    "STR": "TYPE_STRING",
}

_TOKEN = re.compile(r"""[“”‘’][^“”‘’]*[“”‘’]?|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[\w.+-]+|\S""")
_INTEGER_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


class _Failure(NamedTuple):
    """A parse error with its surroundings.

    `word` is what stands there, `preceding` the last character before it, `mark` the last field begun before it.
    """

    said: str
    line: int
    word: str
    preceding: str
    mark: Mark | None
    marks: tuple[Mark, ...]

    @property
    def path(self) -> str:
        return self.mark.path if self.mark else ""

    @property
    def name(self) -> str:
        """The last field's own name, without index."""
        return re.sub(r"\[\d+\]$", "", self.path).rpartition(".")[2]


class _Told(NamedTuple):
    message: str
    expected: str = ""
    got: str = ""
    fix: str = ""
    field: str | None = None
    line: int | None = None


def explain(error: ParseError, text: str, source: str) -> Problem:
    """Return what is wrong with `text`, for which protobuf raised `error`."""
    failure = _locate(error, text)
    told = next(filter(None, (read(failure) for read in _READERS)), _Told(failure.said))
    return Problem(
        file=source,
        line=failure.line if told.line is None else told.line,
        field=failure.path if told.field is None else told.field,
        message=told.message,
        expected=told.expected,
        got=told.got,
        fix=told.fix,
    )


def _locate(error: ParseError, text: str) -> _Failure:
    line, column = error.GetLine() or 0, error.GetColumn() or 0
    said = re.sub(r"^\d+:\d+ : ('.*': (?=[A-Z]))?", "", str(error))  # it may quote the line before it says what
    lines = text.split("\n")
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    found = _TOKEN.search(here, max(column - 1, 0))
    preceding = "\n".join((*lines[: max(line - 1, 0)], here[: max(column - 1, 0)])).rstrip()[-1:]
    marks = read_marks(text)
    is_name_unknown = "has no field named" in said
    before = [mark for mark in marks if (mark.line, mark.column) <= (line, column) and (mark.field or is_name_unknown)]
    return _Failure(said, line, found[0] if found else "", preceding, before[-1] if before else None, marks)


def _unknown_field(failure: _Failure) -> _Told | None:
    found = re.match(r'Message type "([\w.]+)" has no field named "(.*)"', failure.said)
    if not found:
        return None
    schema, name = _message_types()[found[1]], found[2]
    message = f"{schema.name} has no field '{name}'"
    outer = parent_path(failure.path)
    if outer and name in model_config_pb2.ModelConfig.DESCRIPTOR.fields_by_name:
        return _Told(
            message,
            fix=f"'{name}' is a field of ModelConfig: close '{outer}' with a }} before it, "
            f"which was opened on line {find_line(failure.marks, outer)}",
        )
    names = [field.name for field in schema.fields]
    close = _closest(name, names, _FIELD_ALIASES)
    if len(close) == 1:
        return _Told(message, fix=f"write '{close[0]}'")
    return _Told(message, expected=f"one of {', '.join(close or names)}", fix=f"write '{close[0]}'" if close else "")


def _extension(failure: _Failure) -> _Told | None:
    if not failure.said.endswith("does not have extensions."):
        return None
    return _Told("a name in brackets is an extension, and configs have none", fix="take the brackets away", field="")


def _unknown_enum_value(failure: _Failure) -> _Told | None:
    found = re.match(r'Enum type "[\w.]+" has no value named (.*)\.$', failure.said)
    enum = failure.mark.field.enum_type if failure.mark and failure.mark.field else None
    if not found or enum is None:
        return None
    bare = found[1].strip("\"'“”‘’")
    values = _enum_values(enum)
    close = [bare] if bare in values else _closest(bare.upper().removeprefix("TYPE_"), values, _ENUM_ALIASES)
    return _Told(
        f"{enum.name} has no value {found[1]}",
        expected=f"one of {', '.join(values)}",
        got=found[1],
        fix=f"write {failure.name}: {close[0]}, without quotes" if close else "",
    )


def _wrong_type(failure: _Failure) -> _Told | None:
    if not re.match(r"Couldn't parse|Value out of range|Expected (\"true\"|string|\"\{\")", failure.said):
        return None
    field = failure.mark.field if failure.mark else None
    if field is None or failure.mark is None or (failure.word == "]" and failure.preceding == ","):
        return None
    if failure.said.startswith("Couldn't parse string"):
        return _Told(f"'{failure.name}' is not UTF-8", fix="write the text itself instead of \\ codes")
    expected = _expected(field, failure.said)
    if failure.line > failure.mark.line and "[" not in failure.path.rpartition(".")[2]:
        return _Told(f"'{failure.name}' has no value", expected=expected, line=failure.mark.line)
    return _Told(
        f"wrong value for '{failure.name}'",
        expected=expected,
        got=failure.word,
        fix=_correction(field, failure),
    )


def _expected(field: FieldDescriptor, said: str) -> str:
    """Return what a field takes; its range only where protobuf `said` that the value is out of it."""
    if field.type in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[field.type]
        return f"an integer from {low} to {high}" if said.startswith("Value out of range") else "an integer"
    if field.message_type is not None:
        return f"a block {{ }} of {field.message_type.name}"
    return {
        FieldDescriptor.TYPE_BOOL: "true or false, without quotes",
        FieldDescriptor.TYPE_STRING: "a string in quotes",
    }.get(field.type, "a number")


def _correction(field: FieldDescriptor, failure: _Failure) -> str:
    """Return how to write what was probably meant, empty where that cannot be told."""
    name, word = failure.name, failure.word
    bare = word.strip("\"'“”‘’")
    if bare.lower() in ("null", "none", "nil") and not field.is_repeated:
        return f"take '{name}' away to leave it unset"
    if field.type in _INTEGER_RANGES:
        return _integer_correction(field, failure, bare)
    if field.type == FieldDescriptor.TYPE_BOOL:
        truth = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(bare.lower(), bare.lower())
        return f"write {name}: {truth}" if truth in ("true", "false") else ""
    if field.type == FieldDescriptor.TYPE_STRING:
        return _string_correction(name, word, bare)
    if field.message_type is not None:
        inside = field.message_type.fields[0]
        example = f"{inside.name}: {word}" if inside.type == FieldDescriptor.TYPE_STRING and word != bare else "..."
        return f"write {name} {{ {example} }}"
    return ""


_MOST_DIGITS = 40
"""Python refuses to read a number of thousands of digits."""


def _integer_correction(field: FieldDescriptor, failure: _Failure, bare: str) -> str:
    low, high = _INTEGER_RANGES[field.type]
    if re.fullmatch(r"[+-]?\d+(\.0*)?", bare):
        digits = bare.partition(".")[0]
        if len(digits) > _MOST_DIGITS or not low <= (whole := int(digits)) <= high:
            return ""
        return f"write {whole}" if failure.path.endswith("]") else f"write {failure.name}: {whole}"
    return "write -1 for a size that varies" if failure.name in ("dims", "shape") else ""


def _string_correction(name: str, word: str, bare: str) -> str:
    if word.startswith(("“", "”", "‘", "’")):
        return f'write {name}: "{bare}" with plain quotes, these are typographic'
    if word == "[":
        return f"'{name}' is one string, not a list: take the brackets away"
    return f'write {name}: "{bare}"' if re.fullmatch(r"[\w.+-]+", bare) else ""


def _written_twice(failure: _Failure) -> _Told | None:
    found = re.match(r'Message type "[\w.]+" should not have multiple "(\w+)" fields', failure.said)
    if found:
        first = find_line(failure.marks, failure.path)
        return _Told(
            f"'{found[1]}' is written twice", expected="it once", got=f"it also on line {first}", fix="keep one of them"
        )
    found = re.match(r'Field "(\w+)" is specified along with field "(\w+)", another member of oneof', failure.said)
    if not found:
        return None
    first = find_line(failure.marks, failure.path.removesuffix(found[1]) + found[2])
    return _Told(
        f"'{found[1]}' and '{found[2]}' exclude each other",
        expected="one of them",
        got=f"'{found[2]}' also, on line {first}",
        fix="keep one of them",
    )


def _broken_block(failure: _Failure) -> _Told | None:
    """A brace, bracket, comma or colon that is missing or too many."""
    word = failure.word
    if failure.said == 'Expected "}".':
        return _unclosed(failure, parent_path(failure.path) or failure.path, "}")
    if word == "]" and failure.preceding == ",":
        return _Told("a list ends with a comma", fix="take away the comma before ]", field=_list_path(failure.path))
    if failure.said == 'Expected ",".':
        if word in ("}", ""):
            return _unclosed(failure, _list_path(failure.path), "]")
        return _Told(
            "entries of a list are separated by commas", expected="','", got=word, fix=f"write , before {word}"
        )
    if failure.said == 'Expected ":".':
        fix = f"write {failure.name}: and then the value"
        return _Told(f"'{failure.name}' and its value are separated by a colon", expected="':'", got=word, fix=fix)
    return None


def _list_path(path: str) -> str:
    """Return the path of the innermost list around `path`: `input[0].dims[1]` is in `input[0].dims`."""
    while path and not path.endswith("]"):
        path = parent_path(path)
    return parent_path(path)


def _unclosed(failure: _Failure, path: str, closing: str) -> _Told:
    return _Told(
        f"'{path}' is never closed",
        expected=f"'{closing}'",
        got=failure.word if closing == "]" and failure.word else "the end of the file",
        fix=f"write {closing} where it ends",
        field=path,
        line=find_line(failure.marks, path),
    )


def _stray_token(failure: _Failure) -> _Told | None:
    """Something where a field's name should stand."""
    word = failure.word
    if not failure.said.startswith("Expected identifier"):
        return None
    if word.startswith("\ufeff"):
        fix = "save it as UTF-8 without a byte order mark"
    elif word == "{":
        fix = 'this is protobuf text, not JSON: write fields as name: "model", without braces around all of them'
    elif word == "}":
        fix = "take this } away, it closes nothing; or a { is missing before it"
    elif word.startswith(('"', "'")) and failure.path.startswith("parameters"):
        fix = f'write each entry as parameters {{ key: {word} value {{ string_value: "..." }} }}'
    elif word.startswith(('"', "'")):
        fix = f"write the name without quotes: {word.strip(word[0])}"
    elif word == "/":
        fix = "comments begin with #"
    else:
        fix = ""
    return _Told(
        "not a field", expected="a field's name", got=word.strip("\ufeff") or "a byte order mark", fix=fix, field=""
    )


def _open_string(failure: _Failure) -> _Told | None:
    if not failure.said.startswith("String missing ending quote"):
        return None
    return _Told(
        f"the string of '{failure.name}' has no end on its line",
        got=failure.word,
        fix=f"close it with {failure.word[:1]}, and write a line break inside it as \\n",
    )


_READERS: tuple[Callable[[_Failure], _Told | None], ...] = (
    _unknown_field,
    _extension,
    _unknown_enum_value,
    _wrong_type,
    _written_twice,
    _broken_block,
    _stray_token,
    _open_string,
)


def _closest(name: str, candidates: Iterable[str], aliases: dict[str, str]) -> list[str]:
    """Return up to three candidates that `name` was probably meant to be, best first."""
    names = list(candidates)
    if aliases.get(name) in names:
        return [aliases[name]]
    ends = [candidate for candidate in names if candidate.endswith(f"_{name}")]
    return ends or difflib.get_close_matches(name, names, n=3, cutoff=0.6)


def _enum_values(enum: EnumDescriptor) -> list[str]:
    return [value.name for value in enum.values if value.name != "TYPE_INVALID"]


def _message_types() -> dict[str, Descriptor]:
    """Return every message type of the schema by its full name."""
    found: dict[str, Descriptor] = {}
    waiting = list(model_config_pb2.DESCRIPTOR.message_types_by_name.values())
    while waiting:
        schema = waiting.pop()
        found[schema.full_name] = schema
        waiting.extend(schema.nested_types)
    return found
