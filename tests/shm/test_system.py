# SPDX-License-Identifier: Apache-2.0
"""System regions: what is registered, what of it can be seen, and that nothing else can."""

import os
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.shm.conftest import Shared

from naiad.errors import AlreadyExistsError, InternalError, InvalidArgumentError, NotFoundError, UnsupportedError
from naiad.requests import SharedMemoryRange
from naiad.shm.regions import Regions
from naiad.shm.system import SystemRegions
from naiad.snapshots import SharedMemoryRegion

SIZE = 3 * 4096


@pytest.fixture
def regions() -> Regions:
    return Regions(allowed=True)


@pytest.fixture
def system(regions: Regions) -> SystemRegions:
    return SystemRegions(regions)


def is_held(key: str) -> bool:
    """Tell whether this process has mapped or opened a shared memory object."""
    opened = [str(descriptor.readlink()) for descriptor in Path("/proc/self/fd").iterdir() if descriptor.is_symlink()]
    return f"/dev/shm/{key}" in "\n".join([Path("/proc/self/maps").read_text(), *opened])


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_a_registered_region_is_seen_without_a_copy(
    regions: Regions, system: SystemRegions, shared: Shared, slashes: str
) -> None:
    system.register("r", slashes + shared.name, 0, SIZE)
    view = regions.readable(SharedMemoryRange("r", 4, 8))
    assert bytes(view) == bytes(range(4, 12))
    shared.buf[4] = 99
    assert view[0] == 99
    assert view.readonly


def test_what_is_written_is_the_clients(regions: Regions, system: SystemRegions, shared: Shared) -> None:
    system.register("r", shared.name, 5000, 16)
    regions.writable(SharedMemoryRange("r", 2, 3)).write(b"xyz")
    assert bytes(shared.buf[5001:5006]) == bytes([5001 % 251]) + b"xyz" + bytes([5005 % 251])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(
    registered=st.tuples(st.integers(0, SIZE), st.integers(0, SIZE + 8)),
    asked=st.tuples(st.integers(-(2**63), 2**64 - 1) | st.integers(-8, SIZE + 8), st.integers(-8, SIZE + 8)),
)
def test_offsets_are_relative_to_the_region_and_nothing_outside_it_is_seen(
    shared: Shared, registered: tuple[int, int], asked: tuple[int, int]
) -> None:
    regions = Regions(allowed=True)
    system = SystemRegions(regions)
    (start, size), (offset, wanted) = registered, asked
    if not (0 < size <= SIZE - start):
        with pytest.raises(InvalidArgumentError, match="failed to register shared memory region 'r': "):
            system.register("r", shared.name, start, size)
        assert system.status() == ()
        return
    system.register("r", shared.name, start, size)
    if 0 <= offset < size and wanted >= 0 and 0 < offset + wanted <= size:
        seen = bytes(regions.readable(SharedMemoryRange("r", offset, wanted)))
        assert seen == bytes(shared.buf[start + offset : start + offset + wanted])
    else:
        with pytest.raises(InvalidArgumentError, match=r"Invalid offset( \+ byte size)? for shared memory region: 'r'"):
            regions.readable(SharedMemoryRange("r", offset, wanted))


@pytest.mark.parametrize(
    ("offset", "size_bytes", "text"),
    [
        (64, 1, "Invalid offset for shared memory region: 'r'"),
        (-1, 1, "Invalid offset for shared memory region: 'r'"),
        (63, 2, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, 0, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, -1, "Invalid offset + byte size for shared memory region: 'r'"),
        (1, 2**64 - 1, "Invalid offset + byte size for shared memory region: 'r'"),
    ],
)
def test_a_place_beyond_the_region_is_refused(
    regions: Regions, system: SystemRegions, shared: Shared, offset: int, size_bytes: int, text: str
) -> None:
    system.register("r", shared.name, 0, 64)
    with pytest.raises(InvalidArgumentError) as caught:
        regions.writable(SharedMemoryRange("r", offset, size_bytes))
    assert str(caught.value) == text


def test_nothing_may_be_seen_and_written_behind_the_first_byte(
    regions: Regions, system: SystemRegions, shared: Shared
) -> None:
    """As in Triton, where only a size of 0 at an offset of 0 is refused."""
    system.register("r", shared.name, 0, 64)
    place = SharedMemoryRange("r", 63, 0)
    assert bytes(regions.readable(place)) == b""
    regions.writable(place).write(b"")


def test_an_unknown_region_is_not_found(regions: Regions) -> None:
    with pytest.raises(NotFoundError) as caught:
        regions.readable(SharedMemoryRange("r", 0, 1))
    assert str(caught.value) == "Unable to find shared memory region: 'r'"


def test_status_tells_what_was_registered_by_name(system: SystemRegions, shared: Shared) -> None:
    first = SharedMemoryRegion("a", shared.name, 0, 16)
    second = SharedMemoryRegion("b", "/" + shared.name, 4096, 8)
    for region in (second, first):
        system.register(region.name, region.key, region.offset, region.size_bytes)
    assert system.status() == (first, second)
    assert system.status("b") == (second,)
    with pytest.raises(NotFoundError) as caught:
        system.status("c")
    assert str(caught.value) == "Unable to find system shared memory region: 'c'"


def test_a_name_is_registered_once(system: SystemRegions, shared: Shared) -> None:
    system.register("r", shared.name, 0, 16)
    with pytest.raises(AlreadyExistsError) as caught:
        system.register("r", shared.name, 0, 32)
    assert str(caught.value) == "shared memory region 'r' already in manager"
    assert system.status("r")[0].size_bytes == 16


@pytest.mark.parametrize(
    "key", ["/nobody", "", ".", "..", "a/b", "/../etc/passwd", "../../etc/passwd", "a\0b", "x" * 999]
)
def test_a_key_without_an_object_is_told(system: SystemRegions, key: str) -> None:
    with pytest.raises(InternalError) as caught:
        system.register("r", key, 0, 16)
    assert str(caught.value) == f"Unable to open shared memory region: '{key}'"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs shared memory objects to be files")
def test_links_and_pipes_are_no_shared_memory(system: SystemRegions, shared: Shared, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    place = Path("/dev/shm", f"{shared.name}-odd")
    for kind in ("link", "pipe"):
        if kind == "link":
            place.symlink_to(secret)
        else:
            os.mkfifo(place)
        try:
            with pytest.raises(InternalError, match="Unable to open shared memory region"):
                system.register("r", place.name, 0, 16)
        finally:
            place.unlink()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("///", "failed to register shared memory region 'r': invalid shared memory key '///'"),
        (
            "/triton_python_backend_shm_region_1",
            (
                "cannot register shared memory region 'r' with key '/triton_python_backend_shm_region_1' as the key "
                "contains the reserved prefix 'triton_python_backend_shm_region_'"
            ),
        ),
    ],
)
def test_keys_that_are_not_for_clients_are_refused(system: SystemRegions, key: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        system.register("r", key, 0, 16)
    assert str(caught.value) == text


def test_a_region_has_a_name(system: SystemRegions, shared: Shared) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        system.register("", shared.name, 0, 16)
    assert str(caught.value) == "'region name' is necessary to register system shared memory region"


def test_a_region_is_unmapped_when_it_is_unregistered_and_unused(regions: Regions, system: SystemRegions) -> None:
    unheld = SharedMemory(create=True, size=64)
    key = unheld.name
    unheld.close()
    try:
        assert not is_held(key)
        system.register("r", key, 0, 64)
        target = regions.writable(SharedMemoryRange("r", 0, 4))
        system.unregister("r")
        assert is_held(key)
        target.write(b"late")
        del target
        assert not is_held(key)
    finally:
        unheld.unlink()


def test_unregistering_without_a_name_forgets_all(system: SystemRegions, shared: Shared) -> None:
    for name in "ab":
        system.register(name, shared.name, 0, 16)
    system.unregister("nobody")
    assert len(system.status()) == 2
    system.unregister()
    assert system.status() == ()


def test_a_region_outlives_the_client_that_unlinked_its_object(regions: Regions, system: SystemRegions) -> None:
    gone = SharedMemory(create=True, size=64)
    system.register("r", gone.name, 0, 64)
    regions.writable(SharedMemoryRange("r", 0, 1)).write(b"\x07")
    gone.close()
    gone.unlink()
    assert regions.readable(SharedMemoryRange("r", 0, 1))[0] == 7


def test_an_object_that_was_cut_short_is_not_touched(regions: Regions, system: SystemRegions, shared: Shared) -> None:
    system.register("r", shared.name, 0, SIZE)
    os.truncate(f"/dev/shm/{shared.name}", 4096)
    with pytest.raises(InternalError) as caught:
        regions.readable(SharedMemoryRange("r", 8192, 4))
    assert str(caught.value) == f"Invalid shared memory region: '{shared.name}'"


def test_nothing_is_registered_where_it_is_not_allowed(shared: Shared) -> None:
    regions = Regions(allowed=False)
    system = SystemRegions(regions)
    for call in (partial(system.register, "r", shared.name, 0, 16), system.unregister, regions.check_allowed):
        with pytest.raises(UnsupportedError) as caught:
            call()
        assert str(caught.value) == (
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
        )
    assert system.status() == ()
