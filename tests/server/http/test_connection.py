# SPDX-License-Identifier: Apache-2.0
"""Connections over real sockets, on uvloop and on plain asyncio."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from naiad.errors import InvalidArgumentError, UnavailableError
from naiad.protocol.http1.head import Limits
from naiad.server.http.exchange import TEXT, Exchange, Handler
from naiad.server.http.listener import HttpServer
from naiad.server.http.settings import HttpSettings, TimeLimits
from naiad.server.transport.bodies import BodyBudget

Run = Callable[[Awaitable[None]], None]

SHORT = TimeLimits(idle_s=0.1, head_s=0.1, body_s=0.1, stall_s=0.1, linger_s=0.1)


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run one coroutine on a loop of either kind, for at most a few seconds."""
    factory = pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:

        async def bounded(scenario: Awaitable[None]) -> None:
            await asyncio.wait_for(scenario, 5)

        yield lambda scenario: runner.run(bounded(scenario))


class Response(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


class Client:
    """A client that sends bytes and reads responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def flush(self) -> None:
        await self._writer.drain()

    async def response(self, has_body: bool = True) -> Response:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")[:-2]
        fields = dict(line.split(": ", 1) for line in lines)
        body = await self._reader.readexactly(int(fields.get("Content-Length", "0"))) if has_body else b""
        return Response(int(status_line.split()[1]), fields, body)

    async def chunks(self) -> list[bytes]:
        """Read a chunked body."""
        chunks = []
        while size := int(await self._reader.readline(), 16):
            chunks.append(await self._reader.readexactly(size))
            assert await self._reader.readline() == b"\r\n"
        assert await self._reader.readline() == b"\r\n"
        return chunks

    async def ask(self, data: bytes) -> Response:
        self.send(data)
        return await self.response()

    async def rest(self) -> bytes:
        """Return what comes until the server closes."""
        return await self._reader.read()

    def end(self) -> None:
        """Send no more, but go on reading."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    async def closed(self) -> None:
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Leave with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Served:
    """A server and the clients that were made for it."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.clients: list[Client] = []

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self.clients.append(client)
        return client


@asynccontextmanager
async def serving(
    handler: Handler, settings: HttpSettings | None = None, budget: BodyBudget | None = None
) -> AsyncIterator[Served]:
    served = Served(HttpServer(handler, settings, budget))
    await served.server.start("127.0.0.1", 0)
    try:
        yield served
    finally:
        for client in served.clients:
            await client.closed()
        await served.server.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for is private to the server
        await asyncio.sleep(0.001)


def echo(exchange: Exchange) -> None:
    exchange.respond(200, TEXT, (exchange.head.path.encode(), b":", memoryview(exchange.body)))


class Held:
    """A handler that keeps its exchanges, to be answered by the test."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.cancelled: list[str] = []
        self.changed = asyncio.Event()

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.on_cancel = lambda: self._cancel(exchange)
        self.changed.set()

    def _cancel(self, exchange: Exchange) -> None:
        self.cancelled.append(exchange.head.path)
        self.changed.set()

    async def wait(self) -> None:
        """Wait for the next exchange or cancellation."""
        await self.changed.wait()
        self.changed.clear()


GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def post(body: bytes, path: bytes = b"/p", fields: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n%b" % (path, fields, len(body), body)


class TestRequests:
    def test_keeps_the_connection_for_many_requests(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo) as site:
                client = await site.client()
                for number in range(20):
                    answer = await client.ask(post(b"%d" % number))
                    assert answer == (200, {"Content-Type": "text/plain", "Content-Length": str(len(answer.body))},
                                      b"/p:%d" % number)  # fmt: skip
                assert site.server.connection_count == 1

        run(scenario())

    def test_answers_pipelined_requests_in_order_one_at_a_time(self, run: Run) -> None:
        async def scenario() -> None:
            held = Held()
            async with serving(held) as site:
                client = await site.client()
                client.send(post(b"1") + post(b"2" * 100_000) + b"GET /c HTTP/1.1\r\n\r\n")
                for expected in (b"1", b"2" * 100_000, b""):
                    await held.wait()
                    assert len(held.exchanges) == 1
                    exchange = held.exchanges.pop()
                    assert bytes(exchange.body) == expected
                    exchange.respond(200, TEXT, (exchange.body,))
                    assert (await client.response()).body == expected

        run(scenario())

    def test_thousands_of_pipelined_requests_need_no_stack(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo) as site:
                client = await site.client()
                client.send(GET * 3000)
                for _ in range(3000):
                    assert (await client.response()).body == b"/a:"

        run(scenario())

    @pytest.mark.parametrize("size", [0, 1, 65_000, 70_000, 3_000_000, 20_000_000])
    def test_receives_bodies_of_any_size(self, run: Run, size: int) -> None:
        async def scenario() -> None:
            body = np.arange(size // 4 + 1, dtype=np.uint32).tobytes()[:size]
            async with serving(echo) as site:
                client = await site.client()
                assert (await client.ask(post(body) + GET)).body == b"/p:" + body
                assert (await client.response()).body == b"/a:"

        run(scenario())

    def test_receives_chunked_bodies_of_any_size(self, run: Run) -> None:
        async def scenario() -> None:
            chunk = b"%x\r\n%b\r\n" % (300_000, b"c" * 300_000)
            chunked = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 5 + b"0\r\n\r\n"
            async with serving(echo) as site:
                client = await site.client()
                client.send(chunked + GET)
                assert (await client.response()).body == b"/c:" + b"c" * 1_500_000
                assert (await client.response()).body == b"/a:"

        run(scenario())

    def test_tensors_of_a_large_body_are_aligned(self, run: Run) -> None:
        async def scenario() -> None:
            addresses = []

            def handler(exchange: Exchange) -> None:
                addresses.append(np.frombuffer(exchange.body, np.uint8, offset=123).ctypes.data)
                exchange.respond(200)

            async with serving(handler) as site:
                client = await site.client()
                await client.ask(post(b"x" * 1_000_000, fields=b"Inference-Header-Content-Length: 123\r\n"))
            assert addresses[0] % 64 == 0

        run(scenario())

    def test_expect_continue_is_answered_before_the_body(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo) as site:
                client = await site.client()
                head = post(b"body", fields=b"Expect: 100-continue\r\n").removesuffix(b"body")
                assert (await client.ask(head)).status == 100
                assert (await client.ask(b"body")).body == b"/p:body"
                assert (await client.ask(head + b"body")).status == 200

        run(scenario())

    def test_expect_continue_of_too_large_a_body_gets_413_at_once(self, run: Run) -> None:
        async def scenario() -> None:
            settings = HttpSettings(limits=Limits(body_bytes=100))
            async with serving(echo, settings) as site:
                client = await site.client()
                answer = await client.ask(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n")
                assert answer.status == 413
                assert answer.fields["Connection"] == "close"
                assert answer.body == (
                    b'{"error":"request body of 101 bytes exceeds the maximum of 100 bytes, send a smaller batch"}'
                )

        run(scenario())

    def test_head_gets_the_length_without_the_body(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo) as site:
                client = await site.client()
                client.send(b"HEAD /abc HTTP/1.1\r\n\r\n" + GET)
                assert (await client.response(has_body=False)).fields["Content-Length"] == "5"
                assert (await client.response()).body == b"/a:"

        run(scenario())

    @pytest.mark.parametrize(
        "request_bytes", [b"GET /a HTTP/1.0\r\n\r\n", b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n"]
    )
    def test_closes_when_the_client_says_so(self, run: Run, request_bytes: bytes) -> None:
        async def scenario() -> None:
            async with serving(echo) as site:
                client = await site.client()
                answer = await client.ask(request_bytes)
                assert (answer.fields["Connection"], answer.body) == ("close", b"/a:")
                assert await client.rest() == b""

        run(scenario())


class TestHandlers:
    def test_an_error_of_ours_becomes_its_status_and_text(self, run: Run) -> None:
        async def scenario() -> None:
            def handler(exchange: Exchange) -> None:
                raise InvalidArgumentError("no 'x'")

            async with serving(handler) as site:
                client = await site.client()
                for _ in range(2):
                    answer = await client.ask(GET)
                    assert (answer.status, answer.body) == (400, b"""{"error":"no 'x'"}""")
                    assert answer.fields["Content-Type"] == "application/json"

        run(scenario())

    def test_any_other_error_is_logged_and_not_told(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario() -> None:
            def handler(exchange: Exchange) -> None:
                raise KeyError("secret")

            async with serving(handler) as site:
                client = await site.client()
                for _ in range(2):
                    answer = await client.ask(GET)
                    assert answer.status == 500
                    assert b"internal error" in answer.body
                    assert b"secret" not in answer.body

        with caplog.at_level(logging.ERROR):
            run(scenario())
        assert "KeyError: 'secret'" in caplog.text
        assert "GET /a" in caplog.text

    def test_a_second_answer_is_ignored(self, run: Run) -> None:
        async def scenario() -> None:
            def handler(exchange: Exchange) -> None:
                echo(exchange)
                exchange.fail(UnavailableError("late"))
                assert not exchange.waiting

            async with serving(handler) as site:
                client = await site.client()
                client.send(GET + GET)
                assert [(await client.response()).status for _ in range(2)] == [200, 200]

        run(scenario())


class TestDisconnect:
    @pytest.mark.parametrize("how", [Client.close, Client.reset])
    def test_cancels_the_request_in_work(self, run: Run, how: Callable[[Client], None]) -> None:
        async def scenario() -> None:
            held = Held()
            async with serving(held) as site:
                client = await site.client()
                client.send(post(b"x" * 100_000, b"/slow"))
                await held.wait()
                how(client)
                await held.wait()
                assert held.cancelled == ["/slow"]
                assert held.exchanges[0].cancelled
                held.exchanges[0].respond(200)  # nobody is there; nothing happens
                assert (await (await site.client()).ask(b"broken\r\n")).status == 400

        run(scenario())

    def test_a_client_that_ends_its_stream_has_left(self, run: Run) -> None:
        """A half-closed connection looks like a closed one, so it cannot be waited for."""

        async def scenario() -> None:
            held = Held()
            async with serving(held) as site:
                client = await site.client()
                client.send(GET)
                await held.wait()
                client.end()
                assert await client.rest() == b""
                assert held.cancelled == ["/a"]

        run(scenario())

    def test_gives_back_a_half_received_body(self, run: Run) -> None:
        async def scenario() -> None:
            budget = BodyBudget()
            async with serving(echo, budget=budget) as site:
                client = await site.client()
                client.send(post(b"x" * 1_000_000)[:-1])
                await until(lambda: budget.in_flight_bytes == 999_999)
                client.close()
                await until(lambda: not site.server.connection_count)
                assert budget.in_flight_bytes == 0

        run(scenario())


class TestRefusals:
    def test_a_malformed_request_is_answered_and_the_connection_closed(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo) as site:
                client = await site.client()
                client.send(GET + b"GET /b HTTP/1.1\r\nA : b\r\n\r\n" + GET)
                assert (await client.response()).status == 200
                answer = await client.response()
                assert answer.status == 400
                assert answer.fields["Connection"] == "close"
                assert answer.body == b'{"error":"malformed HTTP request: Invalid header token"}'
                assert await client.rest() == b""

        run(scenario())

    def test_the_answer_survives_a_client_that_goes_on_sending(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo, HttpSettings(limits=Limits(body_bytes=100))) as site:
                client = await site.client()
                client.send(post(b"x" * 2_000_000))
                await client.flush()
                assert (await client.response()).status == 413

        run(scenario())

    def test_bodies_in_flight_are_capped_over_all_connections(self, run: Run) -> None:
        async def scenario() -> None:
            held, budget = Held(), BodyBudget(1_000_000)
            async with serving(held, budget=budget) as site:
                first, second = await site.client(), await site.client()
                first.send(post(b"x" * 600_000))
                await held.wait()
                assert budget.in_flight_bytes == 600_000

                refused = await second.ask(post(b"x" * 600_000))
                assert refused.status == 503
                assert b"retry later" in refused.body
                assert refused.fields["Connection"] == "close"

                held.exchanges.pop().respond(200)
                await first.response()
                assert budget.in_flight_bytes == 0
                first.send(post(b"x" * 600_000))
                await held.wait()

                chunked = await site.client()
                chunked.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7a120\r\n" + b"x" * 500_000)
                assert (await chunked.response()).status == 503
                assert budget.in_flight_bytes == 600_000
                assert (await (await site.client()).ask(post(b"x" * 1_000_001))).status == 413

        run(scenario())

    def test_the_budget_counts_a_body_as_long_as_anyone_holds_a_view(self, run: Run) -> None:
        async def scenario() -> None:
            budget, views = BodyBudget(), []

            def handler(exchange: Exchange) -> None:
                views.append(np.frombuffer(exchange.body, np.float32)[5:10])
                exchange.respond(200)

            async with serving(handler, budget=budget) as site:
                await (await site.client()).ask(post(b"x" * 100_000))
                assert budget.in_flight_bytes == 100_000
                views.clear()
                assert budget.in_flight_bytes == 0

        run(scenario())

    def test_too_many_connections_are_told_so(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo, HttpSettings(max_connections=1)) as site:
                first = await site.client()
                await first.ask(GET)
                answer = await (await site.client()).ask(GET)
                assert answer.status == 503
                assert b"has 1 connections already" in answer.body
                assert (await first.ask(GET)).status == 200

        run(scenario())


class TestTimeLimits:
    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            (b"GET /", b"request head not complete after 0.1 s, send it at once"),
            (
                b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nx",
                b"request body advanced by less than 1024 bytes in 0.1 s",
            ),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx", b"request body advanced by less than"),
        ],
    )
    def test_a_stalled_request_gets_408(self, run: Run, sent: bytes, text: bytes) -> None:
        async def scenario() -> None:
            async with serving(echo, HttpSettings(times=replace(SHORT, idle_s=9))) as site:
                client = await site.client()
                answer = await client.ask(sent)
                assert answer.status == 408
                assert text in answer.body
                assert await client.rest() == b""

        run(scenario())

    def test_a_dripping_head_gets_408(self, run: Run) -> None:
        """Bytes that come now and then don't renew the head's time."""

        async def scenario() -> None:
            async with serving(echo, HttpSettings(times=SHORT)) as site:
                client = await site.client()
                answer = asyncio.ensure_future(client.response())
                while not answer.done():
                    client.send(b"A")
                    await asyncio.sleep(0.01)
                assert answer.result().status == 408

        run(scenario())

    def test_a_body_that_advances_may_take_longer(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo, HttpSettings(times=SHORT)) as site:
                client = await site.client()
                client.send(post(b"x" * 100_000)[: -30 * 2000])
                for _ in range(30):
                    await asyncio.sleep(0.01)
                    client.send(b"x" * 2000)
                assert (await client.response()).status == 200

        run(scenario())

    def test_an_idle_connection_is_closed_without_a_word(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo, HttpSettings(times=SHORT)) as site:
                fresh, used = await site.client(), await site.client()
                await used.ask(GET)
                assert await fresh.rest() == b""
                assert await used.rest() == b""

        run(scenario())

    def test_a_request_in_work_has_no_limit(self, run: Run) -> None:
        async def scenario() -> None:
            held = Held()
            async with serving(held, HttpSettings(times=replace(SHORT, idle_s=0.02, head_s=0.02))) as site:
                client = await site.client()
                client.send(GET)
                await held.wait()
                await asyncio.sleep(0.1)
                held.exchanges[0].respond(200)
                assert (await client.response()).status == 200

        run(scenario())

    def test_a_client_that_takes_nothing_of_its_answer_is_cut(self, run: Run) -> None:
        async def scenario() -> None:
            def handler(exchange: Exchange) -> None:
                exchange.respond(200, TEXT, (bytes(50_000_000),))

            async with serving(handler, HttpSettings(times=replace(SHORT, idle_s=9))) as site:
                sock = socket.create_connection(("127.0.0.1", site.server.port))
                sock.sendall(GET)
                await until(lambda: bool(site.server.connection_count))
                await until(lambda: not site.server.connection_count)
                sock.close()

        run(scenario())

    def test_a_client_that_never_closes_after_a_refusal_is_cut(self, run: Run) -> None:
        async def scenario() -> None:
            async with serving(echo, HttpSettings(times=SHORT)) as site:
                client = await site.client()
                assert (await client.ask(b"broken\r\n")).status == 400
                while site.server.connection_count:
                    client.send(b"more")
                    await asyncio.sleep(0.01)

        run(scenario())


class TestFlowControl:
    def test_what_is_pipelined_behind_a_request_in_work_is_bounded(self, run: Run) -> None:
        async def scenario() -> None:
            held = Held()
            async with serving(held) as site:
                client = await site.client()
                client.send(GET * 1_000_000)
                await held.wait()
                (connection,) = site.server._state.connections
                await until(lambda: bool(connection._reading_paused))
                assert len(connection._reader.buffer) <= 3 * 65536
                held.exchanges[0].respond(200)
                await client.response()
                await held.wait()
                assert len(held.exchanges) == 2

        run(scenario())

    def test_requests_wait_while_the_client_does_not_read(self, run: Run) -> None:
        async def scenario() -> None:
            count = 0

            def handler(exchange: Exchange) -> None:
                nonlocal count
                count += 1
                exchange.respond(200, TEXT, (bytes(10_000_000),))

            async with serving(handler) as site:
                client = await site.client()
                client.send(GET * 3)
                await until(lambda: bool(count))
                await asyncio.sleep(0.05)
                assert count == 1
                for _ in range(3):
                    assert len((await client.response()).body) == 10_000_000
                assert count == 3

        run(scenario())


class TestDrain:
    def test_idle_connections_close_and_requests_in_work_are_answered(self, run: Run) -> None:
        async def scenario() -> None:
            held = Held()
            async with serving(held) as site:
                idle, busy, half = await site.client(), await site.client(), await site.client()
                busy.send(GET + GET)
                half.send(post(b"x" * 100_000, b"/half")[:-1])
                await held.wait()
                await until(lambda: site.server.connection_count == 3)

                site.server.drain()

                assert await idle.rest() == b""
                with pytest.raises(ConnectionError):
                    await site.client()
                assert not await site.server.drained(0.01)
                held.exchanges.pop().respond(200)
                assert (await busy.response()).fields["Connection"] == "close"
                assert await busy.rest() == b""
                busy.close()
                half.send(b"x")
                await held.wait()
                held.exchanges.pop().respond(200)
                assert (await half.response()).status == 200
                assert await site.server.drained(2)

        run(scenario())


class TestPieces:
    """Answers whose length nobody knows when they begin."""

    def test_are_chunked_and_the_connection_goes_on(self, run: Run) -> None:
        def handler(exchange: Exchange) -> None:
            exchange.begin(200, TEXT)
            exchange.send((b"one,", b""))
            exchange.send((b"two" * 20_000,))
            exchange.finish()
            exchange.send((b"late",))

        async def scenario() -> None:
            async with serving(handler) as served:
                client = await served.client()
                for _ in range(2):
                    client.send(b"GET / HTTP/1.1\r\n\r\n")
                    head = await client.response(has_body=False)
                    assert (head.status, head.fields["Transfer-Encoding"]) == (200, "chunked")
                    assert "Content-Length" not in head.fields
                    assert await client.chunks() == [b"one,", b"two" * 20_000]

        run(scenario())

    def test_end_with_the_connection_for_http_1_0(self, run: Run) -> None:
        def handler(exchange: Exchange) -> None:
            exchange.begin(200, TEXT)
            exchange.send((b"one,",))
            exchange.send((b"two",))
            exchange.finish()

        async def scenario() -> None:
            async with serving(handler) as served:
                client = await served.client()
                client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                head = await client.response(has_body=False)
                assert (head.fields.get("Transfer-Encoding"), head.fields["Connection"]) == (None, "close")
                assert await client.rest() == b"one,two"

        run(scenario())

    def test_are_cut_when_it_fails_in_the_middle(self, run: Run) -> None:
        gone: list[bool] = []

        def handler(exchange: Exchange) -> None:
            exchange.on_cancel = lambda: gone.append(True)
            exchange.begin(200, TEXT)
            exchange.send((b"one",))
            raise InvalidArgumentError("no")

        async def scenario() -> None:
            async with serving(handler) as served:
                client = await served.client()
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                with suppress(ConnectionError):
                    assert not (await client.rest()).endswith(b"0\r\n\r\n")
                assert gone == [True]

        run(scenario())

    def test_tell_when_the_client_leaves_them_unread_and_when_it_has_read_them(self, run: Run) -> None:
        told: list[bool] = []
        exchanges: list[Exchange] = []

        def handler(exchange: Exchange) -> None:
            exchanges.append(exchange)
            exchange.on_full = told.append
            exchange.begin(200, TEXT)
            while not told:
                exchange.send((bytes(2**20),))

        async def scenario() -> None:
            async with serving(handler) as served:
                client = await served.client()
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                await client.response(has_body=False)
                reading = asyncio.create_task(client.chunks())
                await until(lambda: told == [True, False])
                exchanges[0].finish()
                assert set(await reading) == {bytes(2**20)}

        run(scenario())

    def test_go_nowhere_when_the_client_has_gone(self, run: Run) -> None:
        gone = asyncio.Event()
        exchanges: list[Exchange] = []

        def handler(exchange: Exchange) -> None:
            exchanges.append(exchange)
            exchange.on_cancel = gone.set
            exchange.begin(200, TEXT)

        async def scenario() -> None:
            async with serving(handler) as served:
                client = await served.client()
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                await client.response(has_body=False)
                client.close()
                await gone.wait()
                exchanges[0].send((b"late",))
                exchanges[0].finish()

        run(scenario())
