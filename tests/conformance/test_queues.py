# SPDX-License-Identifier: Apache-2.0
"""What a queue refuses, more requests at once than the model's policy allows, and whom it serves first."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conformance.cases import as_json, infer
from tests.conformance.comparison import document
from tests.conformance.conftest import Ports, Servers
from tests.conformance.wire import Answer, Request, converse

_AT_ONCE = 5
_WAIT_S = 10
_EIGHT_ROWS = as_json("INPUT0", "FP32", [8, 1], [1] * 8)
"""As many as a batch takes, so that each request is executed alone."""
_METRICS = Request("GET", "/metrics").encoded()

Outcome = tuple[int, str]


@pytest.mark.parametrize(
    ("model", "refused"),
    [("full", "[request id: mine] Exceeds maximum queue size"), ("late", "Request timeout expired")],
)
def test_of_too_many_requests_some_are_answered_and_the_others_refused(
    model: str, refused: str, servers: Servers
) -> None:
    request = infer(model, _EIGHT_ROWS, id="mine")
    triton, naiad = (_outcomes(port, request) for port in (servers.triton.http, servers.naiad.http))
    assert triton == {(200, ""), (503, refused)}
    assert naiad == triton


def test_what_is_more_urgent_is_served_first_and_every_level_has_its_own_limit(servers: Servers) -> None:
    """Four requests on level 2, one of them executed, fill it: the fifth is refused, one on level 1 goes ahead."""
    triton, naiad = (_served_in_turn(ports) for ports in servers)
    assert triton == [
        (503, "[request id: unknown level] Exceeds maximum queue size"),
        (200, "low"),
        *[(200, "high")] * 2,
        *[(200, "low")] * 3,
    ]
    assert naiad == triton


def _served_in_turn(ports: Ports) -> list[Outcome]:
    """Return id or error of each answer, in the order in which they came."""
    came: list[Outcome] = []

    def ask(name: str, **parameters: int) -> None:
        request = infer("urgent", _EIGHT_ROWS, id=name, parameters=parameters)
        (answer,) = converse(ports.http, request.encoded()).answers
        came.append((answer.status, document(answer).get("error") or document(answer)["id"]))

    with ThreadPoolExecutor(_AT_ONCE + 2) as threads:
        for parameters in ({}, {"priority": 0}, {"priority": 2}, {"priority": 9}):
            threads.submit(ask, "low", **parameters)
        _wait_until_pending(ports, 3)
        ask("unknown level", priority=3)
        for _ in range(2):
            threads.submit(ask, "high", priority=1)
        _wait_until_pending(ports, 5)
    return came


def _wait_until_pending(ports: Ports, count: int) -> None:
    """Wait until the metrics tell of so many requests that wait for an execution."""
    deadline_s = time.monotonic() + _WAIT_S
    sample = re.compile(rf'nv_inference_pending_request_count{{model="urgent",version="1"}} {count}\b')
    while not sample.search(converse(ports.metrics, _METRICS).answers[0].body.decode()):
        assert time.monotonic() < deadline_s, f"there never were {count}"


def _outcomes(port: int, request: Request) -> set[Outcome]:
    """Return what became of requests sent at once; how many are refused depends on when each arrives."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        conversations = [threads.submit(converse, port, request.encoded()) for _ in range(_AT_ONCE)]
        return {_outcome(one.result().answers[0]) for one in conversations}


def _outcome(answer: Answer) -> Outcome:
    return answer.status, document(answer).get("error", "")
