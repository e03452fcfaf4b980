# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from naiad.errors import InvalidArgumentError
from naiad.options import RestrictedGroup
from naiad.server.transport.access import GRPC_LOCK_PREFIX, ApiKeys, Lock, locks, read_api_keys

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


KEYS = ApiKeys(("first-key", "second~key="))


@pytest.mark.parametrize("given", [b"Bearer first-key", b"bearer second~key=", b"BEARER   first-key "])
def test_any_of_the_keys_opens(given: bytes) -> None:
    assert KEYS.objection(given) is None


@pytest.mark.parametrize(
    "given",
    [b"", b"Bearer", b"Bearer ", b"Bearer first-ke", b"Bearer first-key2", b"Basic first-key", b"first-key",
     b"Bearer first-key, Bearer first-key", b"Bearerfirst-key", b"Bearer \xff"],
)  # fmt: skip
def test_nothing_else_opens(given: bytes) -> None:
    objection = KEYS.objection(given)
    assert objection == "the API key is none of this server's; send one as 'Authorization: Bearer KEY'"


def test_who_sends_no_key_is_told_how_to() -> None:
    assert KEYS.objection(None) == "this server asks for an API key; send one as 'Authorization: Bearer KEY'"


def test_every_key_is_looked_at_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append(known)
        return given == known

    monkeypatch.setattr("naiad.server.transport.access.hmac.compare_digest", compare)
    for given in (b"Bearer first-key", b"Bearer second~key=", b"Bearer neither"):
        KEYS.objection(given)
    assert len(compared) == 6


def test_a_file_of_keys_is_read(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the cameras\n\n  first-key \r\nsecond#key\n   # of nobody\n")
    assert read_api_keys(str(file)) == ("first-key", "second#key")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no key, expected one a line"),
        (b"# nothing yet\n\n", "has no key, expected one a line"),
        (b"good\ns3cret key\n", ", line 2: a key has no spaces and only printable ASCII characters"),
        ("s3crét\n".encode(), ", line 1: a key has no spaces and only printable ASCII characters"),
        (b"\xff\xfe", "cannot be read: it is not text"),
    ],
)
def test_a_file_without_keys_is_refused_without_its_content(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(InvalidArgumentError) as caught:
        read_api_keys(str(file))
    assert str(caught.value).startswith(f"--api-key-file={file}")
    assert message in str(caught.value)
    assert "s3c" not in str(caught.value).removeprefix(f"--api-key-file={file}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="keys cannot be read: No such file or directory; give a text file"):
        read_api_keys(str(tmp_path / "keys"))
