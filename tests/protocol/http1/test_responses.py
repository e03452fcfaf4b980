# SPDX-License-Identifier: Apache-2.0
"""Heads of responses."""

import pytest
from tests.protocol.http1.reading import read_head

from naiad.protocol.http1.responses import render_head


def test_head_has_length_and_fields_in_order() -> None:
    fields = ((b"Content-Type", b"application/json"), (b"X-A", b"b"))

    rendered = render_head(200, fields, 12, read_head(b"GET / HTTP/1.1"), keep_alive=True)

    assert rendered == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: b\r\nContent-Length: 12\r\n\r\n"


def test_405_has_tritons_reason() -> None:
    assert render_head(405, (), 0, None, keep_alive=True).startswith(b"HTTP/1.1 405 Not Allowed\r\n")


@pytest.mark.parametrize(
    ("version", "keep_alive", "line"),
    [
        (b"1.1", True, b""),
        (b"1.1", False, b"Connection: close\r\n"),
        (b"1.0", True, b"Connection: keep-alive\r\n"),
        (b"1.0", False, b"Connection: close\r\n"),
    ],
)
def test_connection_is_told_where_it_is_not_the_rule(version: bytes, keep_alive: bool, line: bytes) -> None:
    rendered = render_head(200, (), 0, read_head(b"GET / HTTP/" + version), keep_alive)

    assert rendered == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + b"\r\n"
