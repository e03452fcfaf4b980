# SPDX-License-Identifier: Apache-2.0
"""A shared memory object as a client makes it, and regions as a server has them."""

from collections.abc import Iterator
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from typing import NamedTuple

import pytest

from naiad.server.bodies import BodyBudget, admitted
from naiad.shm.regions import Regions

OBJECT_BYTES = 3 * 4096


class Shared(NamedTuple):
    """A shared memory object and what is in it."""

    name: str
    buf: memoryview


def made_regions(*, allowed: bool, budget: BodyBudget | None = None) -> Regions:
    """Return regions as a server has them; what is read of them is charged to `budget`."""
    return Regions(allowed=allowed, receive=partial(admitted, budget or BodyBudget()))


@pytest.fixture
def shared() -> Iterator[Shared]:
    """A shared memory object of three pages; byte `n` of it is `n % 251`."""
    memory = SharedMemory(create=True, size=OBJECT_BYTES)
    assert memory.buf is not None
    memory.buf[:OBJECT_BYTES] = bytes(n % 251 for n in range(OBJECT_BYTES))
    yield Shared(memory.name, memory.buf)
    memory.close()
    memory.unlink()
