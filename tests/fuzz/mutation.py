# SPDX-License-Identifier: Apache-2.0
"""Damage to bytes: small random edits, and larger ones made of what the format itself is made of; and to frames."""

import random
from collections.abc import Callable, Iterator, Sequence

from naiad.protocol.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_BYTES,
    HEADERS,
    PADDED,
    frame,
)

_NUMBERS = (
    *(b"0", b"-1", b"1", b"00", b"1e309", b"-0", b"0x10", b"255", b"65536", b"2147483647", b"2147483648"),
    *(b"4294967296", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"9" * 400),
)
_BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\r\n",
    b"\n",
    b"\r",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b" ",
)
_MOST_BYTES = 1 << 16


class Mutator:
    """Makes cases out of seeds; the same random state makes the same cases.

    `tokens` are pieces of the format's grammar.
    """

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
        self._seeds = seeds
        self._tokens = tokens
        self._rng = rng
        self._edits: tuple[Callable[[bytes], bytes], ...] = (
            *(self._flip, self._insert, self._delete, self._repeat, self._replace_number, self._swap),
            *(self._splice, self._insert_token, self._insert_token, self._nest),
        )

    def case(self) -> bytes:
        """Return one case: a seed with a few edits, or, now and then, a row of tokens."""
        rng = self._rng
        if rng.random() < 0.1:
            return b"".join(rng.choices(self._tokens, k=rng.randint(1, 40)))
        data = rng.choice(self._seeds)
        for _ in range(min(int(rng.expovariate(0.4)) + 1, 12)):
            data = rng.choice(self._edits)(data)[:_MOST_BYTES]
        return data

    def _span(self, data: bytes, most: int) -> tuple[int, int]:
        start = self._rng.randint(0, len(data))
        return start, min(len(data), start + self._rng.randint(0, most))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._rng.randrange(8)]) + data[at + 1 :]

    def _insert(self, data: bytes) -> bytes:
        at = self._rng.randint(0, len(data))
        return data[:at] + (self._rng.choice(_BYTES) or self._rng.randbytes(self._rng.randint(1, 8))) + data[at:]

    def _delete(self, data: bytes) -> bytes:
        start, end = self._span(data, self._rng.choice((1, 8, 64)))
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._span(data, 32)
        return data[:end] + data[start:end] * self._rng.choice((1, 2, 200)) + data[end:]

    def _swap(self, data: bytes) -> bytes:
        start, end = self._span(data, 32)
        to = self._rng.randint(0, len(data))
        rest = data[:start] + data[end:]
        return rest[:to] + data[start:end] + rest[to:]

    def _splice(self, data: bytes) -> bytes:
        other = self._rng.choice(self._seeds)
        return data[: self._rng.randint(0, len(data))] + other[self._rng.randint(0, len(other)) :]

    def _insert_token(self, data: bytes) -> bytes:
        start, end = self._span(data, self._rng.choice((0, 0, 4, 16)))
        return data[:start] + self._rng.choice(self._tokens) + data[end:]

    def _replace_number(self, data: bytes) -> bytes:
        starts = [at for at, byte in enumerate(data) if 48 <= byte <= 57 and not (at and 48 <= data[at - 1] <= 57)]
        if not starts:
            return data
        start = end = self._rng.choice(starts)
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        return data[:start] + self._rng.choice(_NUMBERS) + data[end:]

    def _nest(self, data: bytes) -> bytes:
        """Wrap a part in many brackets: what recurses must not overflow."""
        start, end = self._span(data, 16)
        opening, closing = self._rng.choice(((b"[", b"]"), (b"{", b"}"), (b'{"a":', b"}"), (b"a {", b"}")))
        depth = self._rng.choice((1, 2, 99, 101, 3000))
        return data[:start] + opening * depth + data[start:end] + closing * depth + data[end:]


def cut(data: bytes) -> Iterator[bytes]:
    """Cut bytes into frames; the last one may be short."""
    while data:
        end = HEADER_BYTES + int.from_bytes(data[:3])
        yield data[:end]
        data = data[end:]


class FrameMutator:
    """Makes cases out of recorded sessions: frames are lost, doubled, moved, changed, and others come between them."""

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
        self._sessions = [list(cut(seed)) for seed in seeds]
        self._tokens = tokens
        self._rng = rng
        self._edits: tuple[Callable[[list[bytes], int], None], ...] = (
            *(self._lose, self._double, self._move, self._insert, self._insert, self._borrow),
            *(self._change_header, self._change_payload, self._shorten, self._split),
        )

    def case(self) -> bytes:
        """Return one case: a session with a few edits."""
        rng = self._rng
        said = list(rng.choice(self._sessions))
        for _ in range(min(int(rng.expovariate(0.3)) + 1, 20)):
            if said:
                rng.choice(self._edits)(said, rng.randrange(len(said)))
        return b"".join(said)

    def _lose(self, said: list[bytes], at: int) -> None:
        del said[at]

    def _double(self, said: list[bytes], at: int) -> None:
        said[at:at] = [said[at]] * self._rng.choice((1, 1, 5, 100))

    def _move(self, said: list[bytes], at: int) -> None:
        said.insert(self._rng.randrange(len(said)), said.pop(at))

    def _insert(self, said: list[bytes], at: int) -> None:
        said.insert(at, self._rng.choice(self._tokens))

    def _borrow(self, said: list[bytes], at: int) -> None:
        said.insert(at, self._rng.choice(self._rng.choice(self._sessions)))

    def _change_header(self, said: list[bytes], at: int) -> None:
        whole = said[at]
        if len(whole) >= HEADER_BYTES:
            high, low, kind, flags, stream_id = HEADER.unpack_from(whole)
            kind, flags, stream_id = self._rng.choice(
                (
                    (self._rng.randrange(11), flags, stream_id),
                    (kind, flags ^ 1 << self._rng.randrange(8), stream_id),
                    (kind, flags, self._rng.choice((0, 1, 2, 3, 5, 7, 9, stream_id + 2, 2**31 - 1))),
                )
            )
            said[at] = HEADER.pack(high, low, kind, flags, stream_id) + whole[HEADER_BYTES:]

    def _change_payload(self, said: list[bytes], at: int) -> None:
        changed = bytearray(said[at])
        if len(changed) > HEADER_BYTES:
            changed[self._rng.randrange(HEADER_BYTES, len(changed))] ^= 1 << self._rng.randrange(8)
            said[at] = bytes(changed)

    def _shorten(self, said: list[bytes], at: int) -> None:
        whole = said[at]
        payload = whole[HEADER_BYTES : self._rng.randint(HEADER_BYTES, max(len(whole), HEADER_BYTES))]
        if len(whole) >= HEADER_BYTES:
            said[at] = frame(whole[3], whole[4], int.from_bytes(whole[5:9]), payload)

    def _split(self, said: list[bytes], at: int) -> None:
        """Cut a frame in two, DATA with padding, HEADERS with CONTINUATION; the end is in the last."""
        whole = said[at]
        if len(whole) <= HEADER_BYTES or whole[3] not in {DATA, HEADERS} or whole[4] & ~(END_STREAM | END_HEADERS):
            return
        kind, flags, stream_id, payload = whole[3], whole[4], int.from_bytes(whole[5:9]), whole[HEADER_BYTES:]
        to = self._rng.randrange(len(payload))
        if kind == DATA:
            pad = self._rng.choice((0, 1, 255))
            first = frame(DATA, PADDED, stream_id, bytes((pad,)) + payload[:to] + bytes(pad))
            said[at : at + 1] = first, frame(DATA, flags, stream_id, payload[to:])
        else:
            first = frame(HEADERS, flags & END_STREAM, stream_id, payload[:to])
            said[at : at + 1] = first, frame(CONTINUATION, flags & END_HEADERS, stream_id, payload[to:])
