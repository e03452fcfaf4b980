# SPDX-License-Identifier: Apache-2.0
"""A shared memory object as a client makes it."""

from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import NamedTuple

import pytest

OBJECT_BYTES = 3 * 4096


class Shared(NamedTuple):
    """A shared memory object and what is in it."""

    name: str
    buf: memoryview


@pytest.fixture
def shared() -> Iterator[Shared]:
    """A shared memory object of three pages; byte `n` of it is `n % 251`."""
    memory = SharedMemory(create=True, size=OBJECT_BYTES)
    assert memory.buf is not None
    memory.buf[:OBJECT_BYTES] = bytes(n % 251 for n in range(OBJECT_BYTES))
    yield Shared(memory.name, memory.buf)
    memory.close()
    memory.unlink()
