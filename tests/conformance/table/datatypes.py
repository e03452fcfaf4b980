# SPDX-License-Identifier: Apache-2.0
"""Every datatype in JSON and in binary, both ways and in batches; BYTES, and numbers at the edges."""

from collections.abc import Iterator

from tests.conformance.cases import Case, Input, as_binary, as_json, infer, output
from tests.conformance.wire import Request

_VALUES: dict[str, list[object]] = {
    "BOOL": [True, False, True],
    "UINT8": [0, 7, 255],
    "UINT16": [0, 7, 65535],
    "UINT32": [0, 7, 4294967295],
    "UINT64": [0, 7, 18446744073709551615],
    "INT8": [-128, 7, 127],
    "INT16": [-32768, 7, 32767],
    "INT32": [-2147483648, 7, 2147483647],
    "INT64": [-9223372036854775808, 7, 9223372036854775807],
    "FP16": [-2.5, 0.1, 65504.0],
    "BF16": [-2.5, 0.5, 128.0],
    "FP32": [-2.5, 0.1, 16777216.0],
    "FP64": [-2.5, 0.1, 1e300],
    "BYTES": ["", "naïad", 'a "quoted" \\ line\n'],
}
"""Three values of each datatype."""

_NOT_IN_JSON = ("FP16", "BF16")

_IN_JSON: tuple[tuple[str, int, tuple[object, ...]], ...] = (
    ("BOOL", 500, (0, 1, "true", None)),
    ("INT8", 200, (128, -129, 300)),
    ("UINT8", 200, (256, 4294967295)),
    ("INT32", 200, (2147483648, -2147483649)),
    ("INT32", 500, (1.0, 1e3, "1", True, None, 18446744073709551615)),
    ("UINT32", 500, (-1, 1.5)),
    ("UINT64", 500, (-1, 18446744073709551616)),
    ("FP32", 200, (1, 1e-45, 3.4028235e38, -0.0, 16777217, 1e16, 123456789.125)),
    ("FP32", 500, ("1", True, None, {})),
    ("FP64", 200, (5e-324, 1.7976931348623157e308, 0.1, 1e21, 1e-7, 9007199254740993)),
    ("BYTES", 500, (1, True, None, {})),
)
"""Single values in JSON, and the status they are answered with."""


def cases() -> Iterator[Case]:
    for datatype in _VALUES:
        for batch in (1, 3):
            for binary_in in (False, True):
                for binary_out in (False, True):
                    yield _round_trip(datatype, batch, binary_in=binary_in, binary_out=binary_out)
        empty = _infer(datatype, _values(datatype, [2, 0], [], binary=True))
        yield Case(f"{datatype}: nothing in it", empty, 400 if datatype in _NOT_IN_JSON else 200)
        yield Case(
            f"{datatype}: nothing in it, binary out",
            _infer(datatype, _values(datatype, [2, 0], [], binary=True), binary_data=True),
            200,
        )
        yield Case(f"{datatype}: no rows of one", _infer(datatype, _values(datatype, [0, 1], [], binary=True)), 400)
        yield Case(f"{datatype}: too few bytes", _infer(datatype, as_binary(*_named(datatype), [1, 3], b"\0" * 2)), 400)
        yield Case(
            f"{datatype}: too many bytes", _infer(datatype, as_binary(*_named(datatype), [1, 1], b"\0" * 99)), 400
        )
        other = "FP64" if datatype != "FP64" else "INT64"
        wrong = as_binary(_named(datatype)[0], other, [1, 1], [1])
        yield Case(f"{datatype}: told to be {other}", _infer(datatype, wrong), 400)
    yield from _json_values()
    yield from _strings()


def _named(datatype: str) -> tuple[str, str]:
    return f"IN_{'STRING' if datatype == 'BYTES' else datatype}", datatype


def _infer(datatype: str, one: Input, **parameters: object) -> Request:
    """A request to `every` for the output that repeats this input."""
    return infer("every", one, outputs=[output(_named(datatype)[0].replace("IN_", "OUT_"), **parameters)])


def _values(datatype: str, shape: list[int], data: list[object], *, binary: bool) -> Input:
    return (as_binary if binary else as_json)(*_named(datatype), shape, data)


def _round_trip(datatype: str, batch: int, *, binary_in: bool, binary_out: bool) -> Case:
    values = _values(datatype, [batch, 3], _VALUES[datatype] * batch, binary=binary_in)
    asked = {"binary_data": True} if binary_out else {}
    refused = datatype in _NOT_IN_JSON and not (binary_in and binary_out)
    ways = f"{'binary' if binary_in else 'JSON'} in, {'binary' if binary_out else 'JSON'} out"
    return Case(f"{datatype}: {ways}, batch {batch}", _infer(datatype, values, **asked), 400 if refused else 200)


def _json_values() -> Iterator[Case]:
    for datatype, status, values in _IN_JSON:
        for value in values:
            one = as_json(*_named(datatype), [1, 1], [value])
            yield Case(f"{datatype}: {value!r} in JSON", _infer(datatype, one), status)
    for word in ("NaN", "Infinity", "-Infinity"):
        one = as_json(*_named("FP32"), [1, 1], [float(word)])
        yield Case(f"FP32: {word}", _infer("FP32", one), 200)
    for shape in ([1, 6], [2, 3]):
        for data in (
            [1, 2, 3, 4, 5, 6],
            [[1, 2, 3], [4, 5, 6]],
            [[[1], [2]], [[3], [4]], [[5], [6]]],
            [[1], [2, 3, 4, 5, 6]],
        ):
            yield Case(f"INT16: {data} as {shape}", _infer("INT16", as_json(*_named("INT16"), shape, data)), 200)


def _strings() -> Iterator[Case]:
    name, datatype = "INPUT0", "BYTES"
    for what, element in {
        "a zero byte": b"a\0b",
        "control characters": bytes(range(1, 32)),
        "ASCII's last": b"\x7f~",
        "two-byte UTF-8": "é".encode(),
        "four-byte UTF-8": "\N{WATER WAVE}".encode(),
        "not UTF-8": b"\xff\xfe",
        "a solidus": b"a/b</script>",
        "long": b"x" * 70000,
    }.items():
        one = as_binary(name, datatype, [1], [element])
        for out, asked in (("JSON", output("OUTPUT0")), ("binary", output("OUTPUT0", binary_data=True))):
            yield Case(f"BYTES: {what} to {out}", infer("text", one, outputs=[asked]), 200)
    yield Case("BYTES: escapes in JSON", infer("text", as_json(name, datatype, [3], ["\u2028", "\0", '\\/"\b'])), 200)
    yield Case("BYTES: too few elements", infer("text", as_binary(name, datatype, [3], ["a", "b"])), 400)
    yield Case("BYTES: too many elements", infer("text", as_binary(name, datatype, [1], ["a", "b"])), 400)
    yield Case("BYTES: no rows", infer("word", as_binary(name, datatype, [0, 1], b"")), 400)
    yield Case("BYTES: no rows in JSON", infer("word", as_json(name, datatype, [0, 1], [])), 400)
    yield Case("BYTES: half a length", infer("text", as_binary(name, datatype, [2], b"\1\0\0\0a\1\0")), 400)
    yield Case("BYTES: length beyond the end", infer("text", as_binary(name, datatype, [1], b"\5\0\0\0ab")), 400)
    yield Case("BYTES: too few elements in JSON", infer("text", as_json(name, datatype, [3], ["a", "b"])), 400)
    yield Case("BYTES: too many elements in JSON", infer("text", as_json(name, datatype, [1], ["a", "b"])), 400)
    yield Case("BYTES: nested in JSON", infer("text", as_json(name, datatype, [2], [["a"], ["b"]])), 200)
