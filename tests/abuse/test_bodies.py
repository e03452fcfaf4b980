# SPDX-License-Identifier: Apache-2.0
"""Bodies that are not what they are said to be, or far more: refused, in bounded memory, while others are served."""

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.abuse.victim import HEALTH, Victim, head, infer_request, read_all, read_response, statuses

MAX_INPUT_BYTES = 64 * 2**20
"""The default of --http-max-input-size."""


@contextmanager
def health_checks(victim: Victim) -> Iterator[list[float]]:
    """Ask for the server's health every 5 ms on a connection of its own; yield the seconds each answer took."""
    latencies_s: list[float] = []
    is_over = threading.Event()

    def check() -> None:
        with victim.connect() as client:
            while not is_over.wait(0.005):
                started_s = time.monotonic()
                client.sendall(HEALTH)
                assert read_response(client)[0] == 200
                latencies_s.append(time.monotonic() - started_s)

    thread = threading.Thread(target=check)
    thread.start()
    try:
        yield latencies_s
    finally:
        is_over.set()
        thread.join()


def check_health(latencies_s: list[float]) -> None:
    """Assert that health was told all the time; `python -m benchmarks large-json` measures how soon."""
    assert len(latencies_s) > 20
    assert sorted(latencies_s)[int(len(latencies_s) * 0.99)] < 2


def test_a_declared_length_takes_no_memory(victim: Victim) -> None:
    """200 clients announce 900 MB each."""
    before = victim.footprint().resident_mib
    with ExitStack() as stack:
        clients = [stack.enter_context(victim.connect()) for _ in range(200)]
        for client in clients:
            client.sendall(head(900_000_000) + b"{")
        victim.check_serves()
        assert victim.footprint().resident_mib - before < 16


def test_more_than_the_server_holds_is_refused_at_once(victim: Victim) -> None:
    with victim.connect() as client:
        client.sendall(head(2_000_000_000))
        assert statuses(read_all(client)) == [413]


def test_what_is_beyond_the_length_is_the_next_request(victim: Victim) -> None:
    request = infer_request(4)
    with victim.connect() as client:
        client.sendall(request + b"}}" + HEALTH)
        assert statuses(read_all(client)) == [200, 400]


def test_a_body_that_stays_short_is_given_up(victim: Victim) -> None:
    with victim.connect() as client:
        client.sendall(head(1000) + b'{"inputs":')
        assert statuses(read_all(client)) == [408]


@pytest.mark.parametrize(
    ("length", "size"), [("99999", 4), ("-1", 4), ("x", 4), ("120", 4), (None, 4), (None, 2**63), ("0", 4)]
)
def test_lengths_of_parts_that_lie_fail_the_request_and_nothing_else(
    victim: Victim, length: str | None, size: int
) -> None:
    document = b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":%d}}]}' % size
    field = f"Inference-Header-Content-Length: {length or len(document)}"
    body = document + b"\0" * (3 if length is None else 40)
    with victim.connect() as client:
        client.sendall(head(len(body), field) + body)
        assert read_response(client)[0] in {400, 500}
        client.sendall(HEALTH)
        assert read_response(client)[0] == 200


def test_endless_tiny_chunks_come_to_an_end(victim: Victim) -> None:
    with victim.connect() as client:
        client.sendall(head(None, "Transfer-Encoding: chunked"))
        with suppress(OSError):  # refused on the way
            for _ in range(100):
                client.sendall(b"1\r\nx\r\n" * 1000)
        assert statuses(read_all(client)) in ([400], [])


def zeros(coding: str, mib: int) -> bytes:
    """Return as many zeros, compressed a thousandfold; the end of the stream is missing."""
    stream = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[coding])
    start = stream.compress(b"") + stream.flush(zlib.Z_FULL_FLUSH)
    block = stream.compress(bytes(16 * 2**20)) + stream.flush(zlib.Z_FULL_FLUSH)
    return start + block * (mib // 16)  # after a full flush a block stands for itself


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_refused_when_it_passes_the_limit(victim: Victim, coding: str, is_soak: bool) -> None:
    """1 GiB of zeros in 1 MB, from several clients at once."""
    bomb = zeros(coding, 1024)
    assert len(bomb) < 1.2e6
    with ExitStack() as stack:
        latencies_s = stack.enter_context(health_checks(victim))
        peak_mib = stack.enter_context(victim.peak_mib())
        before = victim.footprint().resident_mib
        clients = [stack.enter_context(victim.connect()) for _ in range(40 if is_soak else 4)]
        for client in clients:
            client.sendall(head(len(bomb), f"Content-Encoding: {coding}") + bomb)
        for client in clients:
            status, text = read_response(client)
            assert status == 400
            assert b"exceeds the maximum allowed input size" in text
        # Two are unpacked at a time, and each grows by doubling.
        assert peak_mib() - before < 2 * 3 * MAX_INPUT_BYTES / 2**20
    check_health(latencies_s)


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b", b"x" * 5000, zeros("gzip", 16)], ids=["none", "magic", "x", "cut"])
def test_what_is_not_compressed_fails_the_request_and_nothing_else(victim: Victim, body: bytes) -> None:
    with victim.connect() as client:
        client.sendall(head(len(body), "Content-Encoding: gzip") + body)
        assert read_response(client)[0] == 400
        client.sendall(HEALTH)
        assert read_response(client)[0] == 200


def test_while_64_mb_of_json_are_read_health_is_told(victim: Victim, is_soak: bool) -> None:
    request = infer_request(16_000_000, is_binary=True)
    assert 63e6 < len(request) < MAX_INPUT_BYTES
    with victim.connect(timeout_s=60) as client:
        client.sendall(request)
        assert read_response(client)[0] == 200  # allocators are warm now
        before = victim.footprint()
        with health_checks(victim) as latencies_s:
            for _ in range(20 if is_soak else 2):
                client.sendall(request)
                status, body = read_response(client)
                assert (status, len(body) > 64_000_000) == (200, True)
    check_health(latencies_s)
    victim.check_is_back(before)
