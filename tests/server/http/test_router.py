# SPDX-License-Identifier: Apache-2.0
"""From method and path to a handler."""

from collections.abc import Sequence

import pytest
from tests.server.responders import AnswersWhole

from naiad.protocol.http1.head import Limits, parse_head
from naiad.protocol.http1.responses import Headers
from naiad.server.http.exchange import Exchange
from naiad.server.http.router import Route, Router


class Recorder(AnswersWhole):
    """Takes answers, and is a handler that notes its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.answers: list[tuple[int, Headers, bytes]] = []

    def answer(self, exchange: Exchange, status: int, headers: Headers, buffers: Sequence[bytes | memoryview]) -> None:
        self.answers.append((status, headers, b"".join(buffers)))

    def handler(self, exchange: Exchange, *arguments: str) -> None:
        self.calls.append(arguments)

    def other(self, exchange: Exchange, *arguments: str) -> None:
        self.calls.append(("other", *arguments))


def ask(recorder: Recorder, router: Router, method: str, target: str) -> None:
    head = parse_head(f"{method} {target} HTTP/1.1\r\n\r\n".encode(), Limits())
    router(Exchange(recorder, head, b""))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def router(recorder: Recorder) -> Router:
    return Router(
        [
            Route("GET", "/v2/models/stats", recorder.other),
            Route("GET", "/v2/models/{model}[/versions/{version}]", recorder.handler),
            Route("GET POST", "/v2/models/{model}[/versions/{version}]/x", recorder.handler),
            Route("POST", "/v2/both", recorder.handler),
            Route("GET", "/v2/both", recorder.other),
        ]
    )


@pytest.mark.parametrize(
    ("method", "target", "call"),
    [
        ("GET", "/v2/models/m", ("m", "")),
        ("GET", "/v2/models/m?x=/y", ("m", "")),
        ("GET", "/v2/models/m/versions/12", ("m", "12")),
        ("POST", "/v2/models/m/versions/12/x", ("m", "12")),
        ("GET", "/v2/models/m/x", ("m", "")),
        ("GET", "/v2/models/a%2Fb%20c", ("a%2Fb%20c", "")),
        ("GET", "/v2/models/stats", ("other",)),
        ("GET", "/v2/models/stats/versions/1", ("stats", "1")),
        ("GET", "/v2/both", ("other",)),
        ("POST", "/v2/both", ()),
    ],
)
def test_finds_the_handler(recorder: Recorder, router: Router, method: str, target: str, call: tuple[str, ...]) -> None:
    for _ in range(2):
        ask(recorder, router, method, target)

    assert recorder.calls == [call, call]
    assert recorder.answers == []


@pytest.mark.parametrize(
    "target",
    ["/", "/v2/models/", "/v2/models/m/", "/v2/models/m/x/", "/v2/models/m/versions/a", "/v2/models/m/versions",
     "//v2/models/m", "/v2/models/m#f/x/y", "/V2/both", "/v2/models//x"],
)  # fmt: skip
def test_an_unknown_path_is_404(recorder: Recorder, router: Router, target: str) -> None:
    ask(recorder, router, "GET", target)

    assert recorder.answers == [(404, ((b"Content-Type", b"text/plain"),), b'{"error":"Not Found"}')]
    assert recorder.calls == []


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_another_method_is_405(recorder: Recorder, router: Router, method: str) -> None:
    ask(recorder, router, method, "/v2/models/m")

    assert [answer[0] for answer in recorder.answers] == [405]
    assert recorder.answers[0][2] == b'{"error":"Method Not Allowed"}'
