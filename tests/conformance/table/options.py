# SPDX-License-Identifier: Apache-2.0
"""What a request may ask for: outputs, parameters and classification."""

from collections.abc import Iterator

from tests.conformance.cases import FOUR, Case, Input, as_binary, as_json, infer, output

_LEFT = as_json("INPUT0", "INT32", [1, 16], list(range(16)))
_RIGHT = as_json("INPUT1", "INT32", [1, 16], [2] * 16)
_TWO_BINARY = [output("OUTPUT0", binary_data=True), output("OUTPUT1", binary_data=True)]


def cases() -> Iterator[Case]:
    yield from _outputs()
    yield from _parameters()
    yield from _classification()


def _outputs() -> Iterator[Case]:
    for what, asked in {
        "not named": None,
        "an empty list": [],
        "the first": [output("OUTPUT0")],
        "the second": [output("OUTPUT1")],
        "in reverse": [output("OUTPUT1"), output("OUTPUT0")],
        "both binary": _TWO_BINARY,
        "one binary": [output("OUTPUT0"), output("OUTPUT1", binary_data=True)],
        "the other binary": [output("OUTPUT0", binary_data=True), output("OUTPUT1", binary_data=False)],
    }.items():
        yield Case(f"outputs: {what}", infer("addsub", _LEFT, _RIGHT, outputs=asked), 200)
    for flag in (True, False):
        for asked in (None, [output("OUTPUT0")], [output("OUTPUT0", binary_data=not flag)]):
            request = infer("addsub", _LEFT, _RIGHT, outputs=asked, parameters={"binary_data_output": flag})
            yield Case(f"outputs: {asked} with binary_data_output {flag}", request, 200)
    for what, sent in {
        "inputs in reverse": (_RIGHT, _LEFT),
        "inputs binary": (_binary("INPUT0", 3), _binary("INPUT1", 4)),
        "inputs binary, in reverse": (_binary("INPUT1", 3), _binary("INPUT0", 4)),
        "one input binary": (_LEFT, _binary("INPUT1", 4)),
    }.items():
        yield Case(f"outputs: {what}", infer("addsub", *sent), 200)
    for value, status in ((1, 500), ("true", 500), (None, 500)):
        yield Case(
            f"outputs: binary_data {value!r}",
            infer("fixed", FOUR, outputs=[output("OUTPUT0", binary_data=value)]),
            status,
        )
    region = {"shared_memory_region": 5, "shared_memory_offset": [], "shared_memory_byte_size": "x"}
    for parameters, status in (
        ({**region, "classification": "x"}, 400),
        ({**region, "binary_data": True}, 400),
        ({**region, "binary_data": 1}, 500),
        (region, 500),
        ({**region, "shared_memory_region": "r"}, 500),
        ({"classification": "x", "shared_memory_offset": -1}, 500),
        ({"binary_data": 1, "shared_memory_offset": -1}, 500),
        ({"shared_memory_byte_size": 5, "shared_memory_offset": 5}, 200),
    ):
        yield Case(f"outputs: {parameters}", infer("fixed", FOUR, outputs=[output("OUTPUT0", **parameters)]), status)
    for changed, status in (
        ({"name": 1, "parameters": {"binary_data_size": -1}}, 500),
        ({"shape": ["x"], "parameters": region}, 500),
        ({"datatype": "x", "parameters": region}, 500),
        ({"data": [1, 2, 3, 4], "parameters": {"shared_memory_byte_size": None}}, 500),
        ({"data": [], "shape": [0], "parameters": {"shared_memory_offset": -1}}, 500),
        ({"data": [1, 2, 3, 4], "parameters": {"shared_memory_offset": 4}}, 200),
    ):
        one = Input({"name": "INPUT0", "datatype": "FP32", "shape": [4], **changed})
        yield Case(f"an input with {changed}", infer("fixed", one), status)
    for value in (1, "true"):
        yield Case(
            f"outputs: binary_data_output {value!r}",
            infer("fixed", FOUR, parameters={"binary_data_output": value}),
            500,
        )


def _binary(name: str, value: int) -> Input:
    return as_binary(name, "INT32", [1, 16], [value] * 16)


def _parameters() -> Iterator[Case]:
    for text in ("a", "", 'é " \\', "x" * 300):
        yield Case(f"id {text[:9]!r}", infer("fixed", FOUR, id=text), 200)
    no_text: tuple[object, ...] = (1, None, True, [])
    for value in no_text:
        yield Case(f"id {value!r}", infer("fixed", FOUR, id=value), 500)
    for key, given, status in (
        ("own", "x", 200),
        ("own", 1, 200),
        ("own", -1, 200),
        ("own", 1.5, 200),
        ("own", True, 200),
        ("own", None, 400),
        ("own", [1], 400),
        ("own", {}, 400),
        ("triton_own", 1, 400),
        ("triton_enable_empty_final_response", True, 400),
        ("priority", 1, 200),
        ("priority", 0, 200),
        ("priority", -1, 500),
        ("priority", "one", 500),
        ("timeout", 1000000, 200),
        ("timeout", -1, 500),
        ("timeout", 1.5, 500),
        ("timeout", "1", 500),
        ("sequence_id", 7, 200),
        ("sequence_id", "seven", 200),
        ("sequence_id", "y" * 128, 200),
        ("sequence_id", "x" * 129, 501),
        ("sequence_id", -1, 500),
        ("sequence_id", 1.5, 500),
        ("sequence_start", True, 200),
        ("sequence_start", 1, 500),
        ("sequence_end", "yes", 500),
    ):
        yield Case(f"parameter {key}={str(given)[:20]!r}", infer("fixed", FOUR, parameters={key: given}), status)
    for value in (None, 1, "x", []):
        yield Case(f"parameters {value!r}", infer("fixed", FOUR, parameters=value), 500)
    yield Case("parameters: none", infer("fixed", FOUR, parameters={}), 200)
    yield Case(
        "members nobody knows", infer("fixed", FOUR, outputs=[output("OUTPUT0", nobody=1)], nobody={"a": [1]}), 200
    )


def _classification() -> Iterator[Case]:
    numbers = [3, 1, 2]
    for datatype in ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64"):
        for batch in (1, 2):
            values = as_binary(f"IN_{datatype}", datatype, [batch, 3], numbers * batch)
            for binary in (False, True):
                asked = output(f"OUT_{datatype}", classification=3, binary_data=binary)
                name = f"classification of {datatype}, batch {batch}, {'binary' if binary else 'JSON'}"
                yield Case(name, infer("every", values, outputs=[asked]), 200)
    for datatype in ("BOOL", "FP16", "BF16"):  # BYTES make Triton 2.51 crash
        values = as_binary(f"IN_{datatype}", datatype, [1, 1], [1])
        asked = output(f"OUT_{datatype}", classification=1)
        yield Case(f"classification of {datatype}", infer("every", values, outputs=[asked]), 400)
    for count, status in (
        (0, 200),
        (1, 200),
        (2, 200),
        (4, 200),
        (99, 200),
        (-1, 500),
        (1.5, 500),
        ("1", 500),
        (True, 500),
    ):
        asked = output("OUTPUT0", classification=count)
        yield Case(f"classification: the best {count!r}", infer("fixed", FOUR, outputs=[asked]), status)
    for what, data in {
        "ties": [1, 2, 2, 1],
        "infinities": [float("inf"), 1, float("-inf"), 0],
        "large": [1e30, 1, 0.000001, -0.0],
    }.items():
        one = as_json("INPUT0", "FP32", [4], data)
        yield Case(f"classification of {what}", infer("fixed", one, outputs=[output("OUTPUT0", classification=4)]), 200)
    both = output("OUTPUT0", classification=1, shared_memory_region="r", shared_memory_byte_size=8)
    yield Case("classification into shared memory", infer("fixed", FOUR, outputs=[both]), 400)
    many = as_json("INPUT0", "FP32", [2, 2, 2], [1, 4, 3, 2, 8, 7, 6, 5])
    yield Case("classification of a matrix", infer("matrix", many, outputs=[output("OUTPUT0", classification=2)]), 200)
