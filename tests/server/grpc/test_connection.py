# SPDX-License-Identifier: Apache-2.0
"""The gRPC port as a hostile, slow, strange or leaving client finds it."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from tests.server.grpc.serving import RawClient, Served, served

from naiad.config.proto import service_pb2 as pb
from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ErrorCode
from naiad.protocol.http2.frames import DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM
from naiad.protocol.http2.greeting import HTTP1_ANSWER
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.protocol.http2.limits import Http2Limits, PingPolicy
from naiad.server.grpc.settings import GrpcSettings, Keepalive, TimeLimits
from naiad.server.transport.bodies import BodyBudget

FAST = TimeLimits(tick_s=0.01)


@pytest.fixture
def serving() -> Iterator[Served]:
    with served(GrpcSettings(times=FAST)) as running:
        yield running


def infer(size: int = 4) -> bytes:
    made = pb.ModelInferRequest(model_name="m", raw_input_contents=[np.zeros(size, np.float32).tobytes()])
    made.inputs.add(name="IN", datatype="FP32", shape=[size])
    return made.SerializeToString()


def test_a_call_is_headers_data_trailers(serving: Served) -> None:
    with RawClient(serving) as client:
        client.call(1, "ServerLive")
        head, data, trailer = client.hear_until(HEADERS), client.hear(), client.hear()
        assert data is not None
        assert trailer is not None
        assert client.fields(head) == {":status": "200", "content-type": "application/grpc"}
        assert (data.kind, data.payload) == (DATA, b"\0\0\0\0\2\x08\1")
        assert client.fields(trailer) == {"grpc-status": "0"}
        assert trailer.flags & END_STREAM


def test_a_failed_call_is_trailers_only(serving: Served) -> None:
    with RawClient(serving) as client:
        client.call(1, "/no/where")
        only = client.hear_until(HEADERS, END_STREAM)
        assert client.fields(only) == {":status": "200", "content-type": "application/grpc", "grpc-status": "12"}


def test_a_client_with_an_unknown_encoding_is_told_the_known_ones(serving: Served) -> None:
    """As gRPC's compression.md has it."""
    with RawClient(serving) as client:
        client.call(1, "ServerLive", b"", (b"grpc-encoding", b"snappy"))
        only = client.fields(client.hear_until(HEADERS, END_STREAM))
        assert only["grpc-status"] == "12"
        assert only["grpc-accept-encoding"] == "identity,gzip,deflate"


@pytest.mark.parametrize(
    ("method", "content_type", "status"), [(b"GET", b"application/grpc", "405"), (b"POST", b"text/html", "415")]
)
def test_what_is_no_grpc_gets_an_http_status(serving: Served, method: bytes, content_type: bytes, status: str) -> None:
    with RawClient(serving) as client:
        block = block_of_head(method, content_type)
        client.say(frames.frame(HEADERS, frames.END_HEADERS | END_STREAM, 1, block))
        assert client.fields(client.hear_until(HEADERS, END_STREAM))[":status"] == status


def block_of_head(method: bytes, content_type: bytes) -> bytes:
    return encode_fields(
        ((b":method", method), (b":scheme", b"http"), (b":path", b"/"), (b"content-type", content_type))
    )


def test_http1_is_told_that_it_is_wrong_here(serving: Served) -> None:
    with RawClient(serving, greet=False) as client:
        client.say(b"GET / HTTP/1.1\r\n\r\n")
        heard = b""
        while data := client.socket.recv(1000):
            heard += data
        assert heard == HTTP1_ANSWER


def test_a_broken_connection_says_why_and_ends(serving: Served) -> None:
    with RawClient(serving) as client:
        client.say(frames.frame(PING, 0, 1, bytes(8)) + bytes(100_000))
        goaway = client.hear_until(GOAWAY)
        assert goaway.payload[4:] == b"\0\0\0\1PING on a stream"
        assert client.hear() is None


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_a_request_may_come_in_any_pieces(serving: Served, cut: int) -> None:
    with RawClient(serving) as client:
        client.hear_until(frames.SETTINGS, frames.ACK)
        said: list[bytes] = []
        client.say = said.append  # type: ignore[assignment, method-assign]
        client.call(1, "ModelInfer", infer())
        whole = b"".join(said)
        for start in range(0, len(whole), cut):
            client.socket.sendall(whole[start : start + cut])
        data = client.hear_until(DATA).payload
        assert pb.ModelInferResponse.FromString(data[5:]).raw_output_contents[0] == bytes(16)


def test_the_deadline_of_a_call_is_kept(serving: Served) -> None:
    serving.model.holds = True
    with RawClient(serving) as client:
        client.call(1, "ModelInfer", infer(), (b"grpc-timeout", b"300m"))
        end = client.hear_until(HEADERS, END_STREAM)
        assert client.fields(end)["grpc-status"] == "4"
        assert client.fields(end)["grpc-message"] == "Deadline Exceeded"
    assert serving.on_loop(lambda: serving.model.cancelled) == [""]


def test_a_message_larger_than_the_budget_is_refused_by_its_length() -> None:
    with served(budget=BodyBudget(100_000)) as serving, RawClient(serving) as client:
        client.call(1, "ModelInfer", ends=False)
        client.say(frames.frame(DATA, 0, 1, b"\0" + (100_001).to_bytes(4)))
        fields = client.fields(client.hear_until(HEADERS, END_STREAM))
        assert fields["grpc-status"] == "8"
        assert fields["grpc-message"] == "Received message larger than max (100001 vs. 100000)"
        assert client.hear_until(RST_STREAM).payload == bytes(4)


def test_messages_beside_each_other_may_exceed_the_budget_too() -> None:
    with served(budget=BodyBudget(200_000)) as serving, RawClient(serving) as client:
        client.call(1, "ModelInfer", ends=False)
        client.say(frames.frame(DATA, 0, 1, b"\0" + (150_000).to_bytes(4) + bytes(100_000)))
        serving.until(lambda: serving.budget.in_flight_bytes == 100_000)
        client.call(3, "ModelInfer", ends=False)
        client.say(frames.frame(DATA, 0, 3, b"\0" + (150_000).to_bytes(4)))
        assert client.fields(client.hear_until(HEADERS, END_STREAM))["grpc-status"] == "14"
        client.say(frames.rst_stream(1, ErrorCode.CANCEL))
        serving.until(lambda: serving.budget.in_flight_bytes == 0)


def test_a_message_that_does_not_advance_is_given_up() -> None:
    times = replace(FAST, message_s=0.05, message_progress_bytes=10)
    with served(GrpcSettings(times=times)) as serving, RawClient(serving) as client:
        client.call(1, "ModelInfer", ends=False)
        client.say(frames.frame(DATA, 0, 1, b"\0\0\1\0\0ab"))
        fields = client.fields(client.hear_until(HEADERS, END_STREAM))
        assert fields["grpc-status"] == "4"
        assert fields["grpc-message"].startswith("request message advanced by less than 10 bytes in 0.05 s")
        assert serving.on_loop(lambda: serving.budget.in_flight_bytes) == 0


@pytest.mark.parametrize("said", [b"", b"PRI * HT", frames.PREFACE, frames.PREFACE + frames.settings([]) + b"\0\0"])
def test_a_connection_that_does_not_begin_or_go_on_is_closed(said: bytes) -> None:
    times = replace(FAST, begin_s=0.05, linger_s=0.05)
    with served(GrpcSettings(times=times)) as serving, RawClient(serving, greet=False) as client:
        if said:
            client.say(said)
        while client.hear() is not None:
            pass


def test_a_client_that_does_not_read_is_cut() -> None:
    times = replace(FAST, stall_s=0.1)
    limits = Http2Limits(stall_s=0.1)
    wide = [(frames.INITIAL_WINDOW_SIZE, 2**30)]
    with served(GrpcSettings(times=times, limits=limits)) as serving, RawClient(serving, wide) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.say(frames.window_update(0, 2**30))
        with suppress(ConnectionError):  # it may be cut while it still sends
            for stream_id in range(1, 21, 2):
                client.call(stream_id, "ModelInfer", infer(500_000))
        serving.until(lambda: serving.server.connection_count == 0)
        serving.model.requests.clear()
        serving.until(lambda: serving.budget.in_flight_bytes == 0)


def test_a_client_that_gives_no_window_loses_its_call() -> None:
    limits = Http2Limits(stall_s=0.05)
    shut = [(frames.INITIAL_WINDOW_SIZE, 0)]
    with served(GrpcSettings(times=FAST, limits=limits)) as serving, RawClient(serving, shut) as client:
        client.call(1, "ServerLive")
        assert int.from_bytes(client.hear_until(RST_STREAM).payload) == ErrorCode.ENHANCE_YOUR_CALM


def test_a_connection_beyond_the_most_is_turned_away() -> None:
    with served(GrpcSettings(max_connections=1)) as serving, RawClient(serving) as first:
        first.call(1, "ServerLive")
        first.hear_until(DATA)
        with RawClient(serving) as second:
            assert b"1 connections already" in second.hear_until(GOAWAY).payload
        first.call(3, "ServerLive")
        first.hear_until(DATA)


def test_a_draining_server_finishes_calls_and_refuses_new_ones(serving: Served) -> None:
    serving.model.holds = True
    with RawClient(serving) as client:
        client.call(1, "ModelInfer", infer())
        serving.until(lambda: len(serving.model.held) == 1)
        serving.on_loop(serving.server.drain)
        assert client.hear_until(GOAWAY).payload[:8] == b"\x7f\xff\xff\xff\0\0\0\0"
        client.call(3, "ServerLive")
        refused = client.fields(client.hear_until(HEADERS, END_STREAM))
        assert refused["grpc-status"] == "14"
        assert refused["grpc-message"] == "GRPC server is shutting down and has stopped accepting new requests."
        client.say(frames.frame(PING, frames.ACK, 0, b"keepaliv"))
        assert client.hear_until(GOAWAY).payload[:8] == b"\0\0\0\3\0\0\0\0"
        serving.release()
        client.hear_until(DATA)
        client.hear_until(HEADERS, END_STREAM)
        assert client.hear() is None
    serving.until(lambda: serving.server.connection_count == 0)


def test_idle_connections_end_with_a_drain_even_if_the_client_says_nothing() -> None:
    times = replace(FAST, leave_s=0.02)
    with served(GrpcSettings(times=times)) as serving, RawClient(serving) as client:
        client.hear_until(frames.SETTINGS, frames.ACK)
        serving.on_loop(serving.server.drain)
        client.hear_until(GOAWAY)
        client.hear_until(GOAWAY)
        assert client.hear() is None


def test_an_old_connection_is_sent_away_and_cut_after_its_grace() -> None:
    times = replace(FAST, leave_s=0.02)
    settings = GrpcSettings(times=times, max_connection_age_s=0.05, max_connection_age_grace_s=0.1)
    with served(settings) as serving:
        serving.model.holds = True
        with RawClient(serving) as client:
            client.call(1, "ModelInfer", infer())
            assert client.hear_until(GOAWAY).payload[:4] == b"\x7f\xff\xff\xff"
            assert client.hear_until(GOAWAY).payload[:4] == b"\0\0\0\1"
            assert client.hear_until(GOAWAY).payload[8:] == b"max_age"
        assert serving.on_loop(lambda: serving.model.cancelled) == [""]


def test_a_silent_connection_is_asked_for_a_sign_of_life_and_cut_without_one() -> None:
    keepalive = Keepalive(time_s=0.03, timeout_s=0.1, without_calls=True, max_pings_without_data=0)
    with served(GrpcSettings(times=FAST, keepalive=keepalive)) as serving, RawClient(serving) as client:
        for _ in range(3):
            ping = client.hear_until(PING)
            client.say(frames.frame(PING, frames.ACK, 0, ping.payload))
        client.hear_until(PING)
        serving.until(lambda: serving.server.connection_count == 0)


def test_no_sign_of_life_is_asked_for_without_calls_or_too_often() -> None:
    keepalive = Keepalive(time_s=0.01, timeout_s=5, max_pings_without_data=1)
    with served(GrpcSettings(times=FAST, keepalive=keepalive)) as serving:
        serving.model.holds = True
        with RawClient(serving) as client:
            client.hear_until(frames.SETTINGS, frames.ACK)
            client.call(1, "ModelInfer", infer())
            ping = client.hear()
            assert ping is not None
            assert ping.kind == PING
            client.say(frames.frame(PING, frames.ACK, 0, ping.payload))
            serving.release()
            answer = client.hear()  # no other ping came between
            assert answer is not None
            assert answer.kind == HEADERS


def test_pings_of_an_idle_client_are_strikes() -> None:
    with served(GrpcSettings(pings=PingPolicy(max_strikes=1))) as serving, RawClient(serving) as client:
        client.say(frames.frame(PING, 0, 0, bytes(8)) * 4)
        assert client.hear_until(GOAWAY).payload[4:] == b"\0\0\0\x0btoo_many_pings"


def test_rapid_resets_cost_the_connection_only(serving: Served) -> None:
    serving.model.holds = True
    with RawClient(serving) as hostile, RawClient(serving) as other:
        for stream_id in range(1, 4000, 2):
            try:
                hostile.call(stream_id, "ModelInfer", infer())
                hostile.say(frames.rst_stream(stream_id, ErrorCode.CANCEL))
            except OSError:
                break
        other.call(1, "ServerLive")
        other.hear_until(DATA)
    assert serving.on_loop(lambda: len(serving.model.requests)) <= 1101
    serving.until(lambda: len(serving.model.cancelled) == len(serving.model.requests))


@pytest.mark.parametrize(
    ("level", "accepts", "encoding"),
    [
        ("none", b"identity,gzip,deflate", None),
        ("low", b"identity,gzip,deflate", "gzip"),
        ("medium", b"identity,gzip,deflate", "deflate"),
        ("high", b"gzip", "gzip"),
        ("high", b"identity", None),
    ],
)
@pytest.mark.parametrize("size", [4, 50_000])
def test_answers_are_compressed_as_the_level_says(level: str, accepts: bytes, encoding: str | None, size: int) -> None:
    with served(GrpcSettings(response_level=level)) as serving, RawClient(serving) as client:
        client.call(1, "ModelInfer", infer(size), (b"grpc-accept-encoding", accepts))
        assert client.fields(client.hear_until(HEADERS)).get("grpc-encoding") == encoding
        assert client.hear_until(DATA).payload[0] == (encoding is not None)


def test_a_stream_with_too_much_under_way_has_to_wait() -> None:
    message = infer()
    framed = b"\0" + len(message).to_bytes(4) + message
    count = 300
    limits = Http2Limits(stream_window_bytes=count * len(framed))
    with served(GrpcSettings(limits=limits)) as serving, RawClient(serving) as client:
        serving.model.holds = True
        client.hear_until(frames.SETTINGS, frames.ACK)
        client.call(1, "ModelStreamInfer", ends=False)
        for _ in range(count):
            client.say(frames.frame(DATA, 0, 1, framed))
        serving.until(lambda: len(serving.model.held) > 256)
        half = client.hear()  # with half of them, fewer than may be under way
        assert half is not None
        assert (half.kind, half.stream_id) == (frames.WINDOW_UPDATE, 1)
        for _ in range(count // 2):
            client.say(frames.frame(DATA, 0, 1, framed))
        client.say(frames.frame(PING, 0, 0, bytes(8)))
        nothing_before = client.hear()
        assert nothing_before is not None
        assert nothing_before.kind == PING
        assert serving.on_loop(lambda: len(serving.model.held)) <= count
        assert serving.on_loop(lambda: serving.budget.in_flight_bytes) >= count // 2 * len(framed)
        while serving.on_loop(lambda: len(serving.model.requests)) < count + count // 2:
            serving.release()
        serving.release()
        assert client.hear_until(frames.WINDOW_UPDATE).stream_id == 1
