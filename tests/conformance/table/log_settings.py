# SPDX-License-Identifier: Apache-2.0
"""The settings of the log; nothing here changes what they are by default."""

from collections.abc import Iterator

from tests.conformance.cases import Case
from tests.conformance.wire import Request


def cases() -> Iterator[Case]:
    yield Case("log settings", Request("GET", "/v2/logging"), 200)
    yield Case("log settings: a slash too many", Request("GET", "/v2/logging/"), 404)
    yield Case("log settings: PUT", Request("PUT", "/v2/logging"), 405)
    for body, status in (
        (b"", 500),
        (b"x", 500),
        (b"{", 500),
        (b"{}", 200),
        (b"[]", 200),
        (b"null", 200),
        (b'"x"', 200),
        (b'{"unknown":1}', 200),
        (b'{"log_info":true,"log_warning":true,"log_error":true}', 200),
        (b'{"log_info":null,"log_file":null,"log_format":null,"log_verbose_level":null}', 200),
        (b'{"log_info":"true"}', 500),
        (b'{"log_warning":1}', 500),
        (b'{"log_error":[]}', 500),
        (b'{"log_verbose_level":0}', 200),
        (b'{"log_verbose_level":4294967296}', 200),
        (b'{"log_verbose_level":2147483648}', 200),
        (b'{"log_verbose_level":18446744073709551616}', 500),
        (b'{"log_verbose_level":-1}', 500),
        (b'{"log_verbose_level":1.5}', 500),
        (b'{"log_verbose_level":"1"}', 500),
        (b'{"log_verbose_level":true}', 500),
        (b'{"log_format":"default"}', 200),
        (b'{"log_format":"iso8601"}', 503),
        (b'{"log_format":"ISO8601_unescaped"}', 503),
        (b'{"log_format":""}', 503),
        (b'{"log_format":5}', 500),
        (b'{"log_file":"x"}', 501),
        (b'{"log_file":""}', 501),
        (b'{"log_file":5,"log_format":"bad"}', 501),
    ):
        yield Case(f"log settings: {body.decode()}", Request("POST", "/v2/logging", body), status)
