# SPDX-License-Identifier: Apache-2.0
"""Work off the loop: its result or error comes back to the exchange, and nothing of it stays behind."""

import asyncio
import gc
import weakref
from collections.abc import Iterator, Sequence

import pytest
from tests.server.responders import AnswersWhole

from naiad.errors import InvalidArgumentError
from naiad.protocol.http1.head import Limits, parse_head
from naiad.protocol.http1.responses import Headers
from naiad.server.http.exchange import Buffers, Exchange
from naiad.server.transport.slow_work import SlowWork

HEAD = parse_head(b"GET / HTTP/1.1\r\n\r\n", Limits())


class Payload:
    """Stands for a large body."""


class Answers(AnswersWhole):
    """Takes the answer of one exchange."""

    def __init__(self) -> None:
        self.given: list[tuple[int, bytes]] = []
        self.came = asyncio.Event()

    def answer(self, exchange: Exchange, status: int, headers: Headers, buffers: Buffers) -> None:
        self.given.append((status, b"".join(buffers)))
        self.came.set()


@pytest.fixture
def slow_work() -> Iterator[SlowWork]:
    pool = SlowWork()
    yield pool
    pool.close()


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def begin(slow_work: SlowWork, answers: Answers, error: type[Exception] | None) -> list["weakref.ref[Payload]"]:
    """Start work on a payload, which gives another one or fails; return what tells whether the two live on."""
    exchange, payload = Exchange(answers, HEAD, b""), Payload()
    traces = [weakref.ref(payload)]

    def work(payload: Payload = payload) -> Payload:
        if error is not None:
            raise error("secret")
        result = Payload()
        traces.append(weakref.ref(result))
        return result

    slow_work.run(exchange, work, lambda result: exchange.respond(200, buffers=(type(result).__name__.encode(),)))
    return traces


async def run(slow_work: SlowWork, error: type[Exception] | None) -> tuple[Sequence[tuple[int, bytes]], list[bool]]:
    """Do some work; return the answers, and whether payload and result live on."""
    answers = Answers()
    traces = begin(slow_work, answers, error)
    await asyncio.wait_for(answers.came.wait(), 5)
    await asyncio.get_running_loop().run_in_executor(None, slow_work.close)  # its threads have left the work
    return answers.given, [trace() is not None for trace in traces]


@pytest.mark.usefixtures("no_collector")
def test_a_result_comes_back_and_is_let_go(slow_work: SlowWork) -> None:
    assert asyncio.run(run(slow_work, None)) == ([(200, b"Payload")], [False, False])


@pytest.mark.usefixtures("no_collector")
def test_an_error_is_the_answer_and_keeps_nothing(slow_work: SlowWork) -> None:
    """A traceback holds all that was worked on; a hundred refused bodies must not wait for the collector."""
    answers, lives = asyncio.run(run(slow_work, InvalidArgumentError))
    assert answers == [(400, b'{"error":"secret"}')]
    assert lives == [False]


def test_an_unforeseen_error_is_an_internal_one(slow_work: SlowWork, caplog: pytest.LogCaptureFixture) -> None:
    answers, _ = asyncio.run(run(slow_work, ZeroDivisionError))
    ((status, body),) = answers
    assert status == 500
    assert b"secret" not in body
    assert "ZeroDivisionError: secret" in caplog.text


def test_who_has_gone_gets_nothing(slow_work: SlowWork) -> None:
    async def scenario() -> list[tuple[int, bytes]]:
        answers, others = Answers(), Answers()
        gone, stays = Exchange(answers, HEAD, b""), Exchange(others, HEAD, b"")
        gone.cancel()
        given = answers.given
        slow_work.run(gone, lambda: given.append((0, b"worked")), lambda _: given.append((0, b"called")))
        for _ in range(2):  # the pool's two threads have both been through
            slow_work.run(stays, lambda: None, lambda _: stays.respond(200))
        await asyncio.wait_for(others.came.wait(), 5)
        return answers.given

    assert asyncio.run(scenario()) == []
