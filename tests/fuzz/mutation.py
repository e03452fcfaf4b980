# SPDX-License-Identifier: Apache-2.0
"""Damage to bytes: small random edits, and larger ones made of what the format itself is made of."""

import random
from collections.abc import Callable, Sequence

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
