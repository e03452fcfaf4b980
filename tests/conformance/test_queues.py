# SPDX-License-Identifier: Apache-2.0
"""What a queue refuses: more requests at once than the model's policy allows."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conformance.cases import as_json, infer
from tests.conformance.comparison import document
from tests.conformance.conftest import Servers
from tests.conformance.wire import Answer, Request, converse

_AT_ONCE = 5
_EIGHT_ROWS = as_json("INPUT0", "FP32", [8, 1], [1] * 8)
"""As many as a batch takes, so that each request is executed alone."""

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


def _outcomes(port: int, request: Request) -> set[Outcome]:
    """Return what became of requests sent at once; how many are refused depends on when each arrives."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        conversations = [threads.submit(converse, port, request.encoded()) for _ in range(_AT_ONCE)]
        return {_outcome(one.result().answers[0]) for one in conversations}


def _outcome(answer: Answer) -> Outcome:
    return answer.status, document(answer).get("error", "")
