# SPDX-License-Identifier: Apache-2.0
"""Paths, methods, documents, and HTTP itself."""

from collections.abc import Iterator

from tests.conformance.cases import FOUR, HUNG_UP, Case, infer
from tests.conformance.repositories import MODELS
from tests.conformance.wire import Request

_INFER = infer("fixed", FOUR)
_METADATA = b"GET /v2/models/fixed HTTP/1.1\r\nHost: localhost\r\n\r\n"
_UNKNOWN_PATHS = """
    / /v1 /v2/ /V2 //v2 /v2//health/live /v2/health /v2/health/live/ /v2/models /v2/models/ /metrics
    /v2/models/fixed/ /v2/models//config /v2/models/fixed/versions /v2/models/fixed/versions/
    /v2/models/fixed/versions/x /v2/models/fixed/versions/-1 /v2/models/fixed/versions/1/
    /v2/models/fixed/versions/1/versions/1 /v2/models/fixed/nothing /v2/models/fixed/config/
    /v2/models/a/b/config /v2/repository /v2/../v2 /v2/./health/live /favicon.ico
"""


def cases() -> Iterator[Case]:
    yield from _documents()
    yield from _methods()
    yield from _paths()
    yield from _not_served()
    yield from _connections()
    yield from _bodies()


def _documents() -> Iterator[Case]:
    yield Case("live", Request("GET", "/v2/health/live"), 200)
    yield Case("not ready, for a model didn't load", Request("GET", "/v2/health/ready"), 400)
    yield Case("server metadata", Request("GET", "/v2"), 200)
    for model in (model.name for model in MODELS if model.name != "broken"):
        yield Case(f"metadata of {model}", Request("GET", f"/v2/models/{model}"), 200)
        yield Case(f"config of {model}", Request("GET", f"/v2/models/{model}/config"), 200)
        yield Case(f"readiness of {model}", Request("GET", f"/v2/models/{model}/ready"), 200)
    for version in ("1", "3", "10", "03"):
        for what in ("", "/config", "/ready"):
            yield Case(f"version {version}{what}", Request("GET", f"/v2/models/versions/versions/{version}{what}"), 200)
    for model, status in (
        *((model, 404) for model in ("nobody", "nobody/versions/1", "broken", "picked/versions/1", "fixed/versions/2")),
        ("broken/versions/1", 503),
        ("fixed/versions/99999999999999999999", 400),
    ):
        yield Case(f"{model}: metadata", Request("GET", f"/v2/models/{model}"), status)
        yield Case(f"{model}: config", Request("GET", f"/v2/models/{model}/config"), status)
        yield Case(f"{model}: readiness", Request("GET", f"/v2/models/{model}/ready"), 400)
        yield Case(f"{model}: statistics", Request("GET", f"/v2/models/{model}/stats"), 400)
    for name, body, status in (
        ("", b"", 200),
        ("an object", b"{}", 200),
        ("all", b'{"ready": false}', 200),
        ("ready", b'{"ready": true}', 200),
        ("ready 1", b'{"ready": 1}', 500),
        ("ready null", b'{"ready": null}', 500),
        ("ready a string", b'{"ready": "true"}', 500),
        ("broken JSON", b"{", 500),
        ("a list", b"[]", 200),
        ("other members", b'{"nobody": 1}', 200),
    ):
        yield Case(f"index: {name}", Request("POST", "/v2/repository/index", body), status)
    yield Case("index of a named repository", Request("POST", "/v2/repository/mine/index"), 200)


def _methods() -> Iterator[Case]:
    for path in (
        "/v2",
        "/v2/health/live",
        "/v2/models/fixed",
        "/v2/models/fixed/ready",
        "/v2/models/fixed/config",
        "/v2/models/fixed/stats",
        "/v2/models/stats",
    ):
        for method in ("POST", "HEAD", "PUT", "DELETE"):
            yield Case(f"{method} {path}", Request(method, path), 405)
    for path in ("/v2/models/fixed/infer", "/v2/repository/index", "/v2/models/nobody/infer"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
            yield Case(f"{method} {path}", Request(method, path), 405)
    for method, status in (("TRACE", 405), ("BREW", 405), ("get", HUNG_UP), ("G ET", HUNG_UP), ("CONNECT", HUNG_UP)):
        yield Case(f"{method} /v2", Request(method, "/v2"), status, watch=True)


def _paths() -> Iterator[Case]:
    for path in _UNKNOWN_PATHS.split():
        yield Case(f"GET {path}", Request("GET", path), 404)
    for status, paths in (
        (
            200,
            "/v2?x=1 /v2? /v2/health/live?x=/../y /v2/models/fixed?a=b&c=d /v2/models/fixed/config? http://localhost/v2",
        ),
        (400, "/v2/models/stats/ready"),
        (404, "/v2#part /v2/models/fi%78ed /v2/models/f%C3%A9 /v2/models/a%2Fb /v2/models/stats/config /v2/models/é"),
        (404, "/v2/models/% /v2/models/" + "x" * 3000),
        (HUNG_UP, "* v2"),
    ):
        for path in paths.split():
            yield Case(f"GET {path[:30]!r}", Request("GET", path), status)
    yield Case("GET '/v2/models/a b'", Request("GET", "/v2/models/a b"), HUNG_UP)
    for path in (
        "/v2/models/fixed/infer/",
        "/v2/models/fixed/versions/x/infer",
        "/v2/models//infer",
        "/v2/repository/index/",
        "/infer",
    ):
        yield Case(f"POST {path}", Request("POST", path, _INFER.body), 404)
    yield Case("infer with a query", Request("POST", _INFER.target + "?x=1", _INFER.body), 200)


def _not_served() -> Iterator[Case]:
    for action in ("load", "unload"):
        yield Case(f"{action} without model control", Request("POST", f"/v2/repository/models/fixed/{action}"), 503)
        yield Case(
            f"{action} from a named repository", Request("POST", f"/v2/repository/mine/models/fixed/{action}"), 501
        )
        yield Case(f"GET {action}", Request("GET", f"/v2/repository/models/fixed/{action}"), 405)
    yield Case("versioned trace setting", Request("GET", "/v2/models/fixed/versions/1/trace/setting"), 404)


def _connections() -> Iterator[Case]:
    def raw(name: str, sent: bytes, status: int, answers: int = 1) -> Case:
        return Case(f"HTTP: {name}", sent, status, answers, watch=True)

    get = b"GET /v2/models/fixed HTTP/1."
    yield raw("1.1", _METADATA, 200)
    yield raw("1.1 with Connection: close", get + b"1\r\nHost: a\r\nConnection: close\r\n\r\n", 200)
    yield raw("1.1 with Connection: keep-alive", get + b"1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 200)
    yield raw("1.1 without Host", get + b"1\r\n\r\n", 200)
    yield raw("1.0", get + b"0\r\n\r\n", 200)
    yield raw("1.0 with Connection: keep-alive", get + b"0\r\nConnection: keep-alive\r\n\r\n", 200)
    # Of pipelined GETs Triton 2.51 answers the first.
    yield raw("pipelined, good behind bad", _INFER.encoded().replace(b"FP32", b"INT3") + _METADATA, 400, 2)
    yield raw("pipelined, post behind post", _INFER.encoded() * 3, 200, 3)
    yield raw("header names in odd case", get + b"1\r\nhOsT: a\r\nCONNECTION: CLOSE\r\n\r\n", 200)
    yield raw("a header without a colon", get + b"1\r\nHost: a\r\nnonsense\r\n\r\n", HUNG_UP)
    yield raw("nonsense", b"nonsense\r\n\r\n", HUNG_UP)
    yield raw("2.0", b"GET /v2 HTTP/2.0\r\nHost: a\r\n\r\n", 200)


def _bodies() -> Iterator[Case]:
    def posted(headers: bytes, body: bytes) -> bytes:
        return b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (_INFER.target.encode(), headers, body)

    body = _INFER.body
    half = len(body) // 2
    for name, chunks in {
        "one chunk": [body],
        "two chunks": [body[:half], body[half:]],
        "a byte each": [body[i : i + 1] for i in range(len(body))],
    }.items():
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        yield Case(f"chunked: {name}", posted(b"Transfer-Encoding: chunked\r\n", chunked), 200, watch=True)
    simple = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    yield Case("chunked: a trailer", posted(b"Transfer-Encoding: chunked\r\n", simple + b"Trailer: x\r\n\r\n"), 200)
    yield Case(
        "chunked: an extension",
        posted(b"Transfer-Encoding: chunked\r\n", b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        HUNG_UP,
    )
    yield Case("chunked: no size", posted(b"Transfer-Encoding: chunked\r\n", b"zz\r\n\r\n"), HUNG_UP, watch=True)
    length = b"Content-Length: %d\r\n" % len(body)
    yield Case("Expect: 100-continue", posted(length + b"Expect: 100-continue\r\n", body), 200)
    yield Case("Expect: 200-ok", posted(length + b"Expect: 200-ok\r\n", body), 200)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for what, headers, sent, status in (
        ("a length and chunks", length + b"Transfer-Encoding: chunked\r\n", chunked, 200),
        ("the length twice", length * 2, body, 200),
        ("chunked twice", b"Transfer-Encoding: chunked\r\n" * 2, chunked, 200),
        ("in capitals", b"Transfer-Encoding: CHUNKED\r\n", chunked, 400),
        ("identity", length + b"Transfer-Encoding: identity\r\n", body, 200),
        ("gzip and chunks", b"Transfer-Encoding: gzip, chunked\r\n", chunked, 400),
    ):
        yield Case(f"framed: {what}", posted(headers, sent), status, watch=True)
    for what, header in {
        "two hosts": b"Host: b\r\n",
        "a space before a colon": b"X : a\r\n",
        "a zero byte": b"X: a\0b\r\n",
        "no value": b"X:\r\n",
        "white space around": b"X: \t a \t\r\n",
        "long": b"X: " + b"a" * 5000 + b"\r\n",
    }.items():
        yield Case(f"header: {what}", posted(length + header, body), 200, watch=True)
    yield Case("no length", posted(b"", b""), 400)
    yield Case("length 0", posted(b"Content-Length: 0\r\n", b""), 400)
    yield Case("a negative length", posted(b"Content-Length: -1\r\n", body), HUNG_UP, watch=True)
    yield Case("a length that isn't a number", posted(b"Content-Length: abc\r\n", body), HUNG_UP, watch=True)
    yield Case("a body in a GET", Request("GET", "/v2/models/fixed", b"ignored"), 200, watch=True)
