# SPDX-License-Identifier: Apache-2.0
"""The settings of traces; nothing here changes what they are by default. `test_traces` does."""

from collections.abc import Iterator

from tests.conformance.cases import Case
from tests.conformance.wire import Request

_OF_A_MODEL = "/v2/models/fixed/trace/setting"


def cases() -> Iterator[Case]:
    yield Case("trace settings", Request("GET", "/v2/trace/setting"), 200)
    yield Case("trace settings: of a model", Request("GET", _OF_A_MODEL), 200)
    yield Case("trace settings: of nobody", Request("GET", "/v2/models/nobody/trace/setting"), 400)
    yield Case("trace settings: of a model that did not load", Request("GET", "/v2/models/broken/trace/setting"), 400)
    yield Case("trace settings: nobody's, changed", Request("POST", "/v2/models/nobody/trace/setting", b"x"), 400)
    for body in (b"{}", b'{"trace_rate":null,"trace_level":null}'):
        yield Case(f"trace settings: a model's, {body.decode()}", Request("POST", _OF_A_MODEL, body), 200)
    yield Case("trace settings: a slash too many", Request("GET", "/v2/trace/setting/"), 404)
    yield Case("trace settings: PUT", Request("PUT", "/v2/trace/setting"), 405)
    yield Case("trace settings: DELETE of a model's", Request("DELETE", "/v2/models/fixed/trace/setting"), 405)
    for body, status in (
        (b"", 500),
        (b"x", 500),
        (b"{", 500),
        (b"{}", 200),
        (b"[]", 200),
        (b"null", 200),
        (b'"x"', 200),
        (b"1", 200),
        (b'{"unknown":1,"trace_mode":5}', 200),
        (b'{"trace_rate":"1000"}', 200),
        (b'{"trace_rate":" +1000x"}', 200),
        (b'{"trace_rate":null,"trace_count":null,"trace_level":null,"log_frequency":null}', 200),
        (b'{"trace_rate":5}', 500),
        (b'{"trace_rate":["3"]}', 500),
        (b'{"trace_rate":true}', 500),
        (b'{"trace_rate":"x"}', 400),
        (b'{"trace_rate":""}', 400),
        (b'{"trace_rate":"- 8"}', 400),
        (b'{"trace_rate":"2147483648"}', 400),
        (b'{"trace_rate":"-2147483649"}', 400),
        (b'{"log_frequency":"4294967295"}', 400),
        (b'{"trace_rate":"4294967296"}', 400),
        (b'{"trace_rate":"-5000000000"}', 400),
        (b'{"trace_rate":"99999999999999999999"}', 400),
        (b'{"trace_count":"-1"}', 200),
        (b'{"trace_count":5}', 500),
        (b'{"trace_count":"-2"}', 400),
        (b'{"trace_count":"2147483648"}', 400),
        (b'{"trace_count":"-2147483649"}', 400),
        (b'{"log_frequency":"0"}', 200),
        (b'{"log_frequency":4}', 500),
        (b'{"log_frequency":"x"}', 400),
        (b'{"trace_file":"x"}', 501),
        (b'{"trace_file":null}', 501),
        (b'{"trace_level":["OFF"]}', 200),
        (b'{"trace_level":["off"]}', 200),
        (b'{"trace_level":["MAX","NOPE"]}', 200),
        (b'{"trace_level":[]}', 200),
        (b'{"trace_level":["TIMESTAMPS"]}', 400),
        (b'{"trace_level":["OFF","TENSORS"]}', 400),
        (b'{"trace_level":["NOPE","OFF"]}', 400),
        (b'{"trace_level":["TENSORS",1]}', 500),
        (b'{"trace_level":"TENSORS"}', 500),
        (b'{"trace_level":{}}', 500),
        (b'{"trace_rate":"5","trace_count":"x"}', 400),
        (b'{"trace_rate":"x","trace_count":"y","trace_level":1,"log_frequency":"z"}', 500),
        (b'{"log_frequency":"z","trace_count":"y"}', 400),
    ):
        yield Case(f"trace settings: {body.decode()}", Request("POST", "/v2/trace/setting", body), status)
