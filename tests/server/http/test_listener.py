# SPDX-License-Identifier: Apache-2.0
"""Binding, and what happens when file descriptors run out."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

from naiad.errors import UnavailableError
from naiad.server.http.exchange import Exchange
from naiad.server.http.listener import HttpServer


def ok(exchange: Exchange) -> None:
    exchange.respond(200)


def test_a_port_in_use_is_named_with_a_way_out() -> None:
    async def scenario() -> None:
        first, second = HttpServer(ok), HttpServer(ok)
        await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(UnavailableError) as error:
                await second.start("127.0.0.1", first.port, service="metrics")
            assert str(error.value) == (
                f"cannot listen on 127.0.0.1:{first.port}: the port is in use; stop what listens there, or choose "
                "another with --metrics-port (0 takes a free one)"
            )
        finally:
            await first.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("address", ["203.0.113.7", "no such host.invalid"])
def test_an_address_of_another_machine_is_named(address: str) -> None:
    with pytest.raises(
        UnavailableError, match=r"this machine doesn't have that address; use --http-address=127\.0\.0\.1"
    ):
        asyncio.run(HttpServer(ok).start(address, 0))


def test_several_servers_share_a_port_when_told_so() -> None:
    async def scenario() -> None:
        first, second = HttpServer(ok), HttpServer(ok)
        await first.start("127.0.0.1", 0, reuse_port=True)
        await second.start("127.0.0.1", first.port, reuse_port=True)
        assert second.port == first.port
        await first.stop()
        await second.stop()

    asyncio.run(scenario())


def test_stopping_ends_the_tick_and_the_listening() -> None:
    async def scenario() -> None:
        server = HttpServer(ok)
        await server.start("127.0.0.1", 0)
        await server.stop()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


_SCARCE = """
    import asyncio, resource, socket, sys, time

    from naiad.server.http.listener import HttpServer

    async def main():
        server = HttpServer(lambda exchange: exchange.respond(200))
        await server.start("127.0.0.1", 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        clients = []
        try:
            while True:
                clients.append(socket.create_connection(("127.0.0.1", server.port)))
        except OSError:
            pass  # this process has no descriptor left, neither for clients nor for accepting
        before = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - before < 0.25, "accepting spins"
        for client in clients:
            client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\\r\\n\\r\\n")
        answer = await asyncio.wait_for(reader.readline(), 5)  # asyncio tries to accept again after a second
        assert answer == b"HTTP/1.1 200 OK\\r\\n", answer
        writer.close()
        await server.stop()
        print("recovered")

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_running_out_of_file_descriptors_neither_spins_nor_ends_the_listener(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_SCARCE), loop], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "recovered\n", done.stderr
