# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.options import RestrictedGroup
from naiad.server.access import GRPC_LOCK_PREFIX, Lock, locks

LOCK = Lock("Admin-Key", b"s3cret")


@pytest.mark.parametrize("given", [None, b"", b"s3cre", b"s3cret ", b"S3CRET", b"\xff"])
def test_a_lock_opens_to_nothing_but_its_value(given: bytes | None) -> None:
    assert not LOCK.opens(given)


def test_a_lock_opens_to_its_value() -> None:
    assert LOCK.opens(b"s3cret")
    assert LOCK.field_name == b"admin-key"


def test_a_lock_does_not_show_its_value() -> None:
    assert "s3cret" not in repr(LOCK)


def test_every_category_of_a_group_has_its_lock() -> None:
    groups = (RestrictedGroup(("health", "trace"), "a", "1"), RestrictedGroup(("logging",), "b", "2"))

    assert locks(groups) == {"health": Lock("a", b"1"), "trace": Lock("a", b"1"), "logging": Lock("b", b"2")}
    assert locks(groups[1:], GRPC_LOCK_PREFIX) == {"logging": Lock("triton-grpc-protocol-b", b"2")}
