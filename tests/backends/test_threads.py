# SPDX-License-Identifier: Apache-2.0
"""Cores: the smallest of affinity and cgroup quotas."""

import os
from pathlib import Path

import pytest

from naiad.backends.threads import intra_op_threads, usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def cgroup(tmp_path: Path, membership: str, **quotas: str) -> tuple[Path, Path]:
    """Write a cgroup tree, relative path → content."""
    root = tmp_path / "cgroup"
    for name, value in quotas.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    (tmp_path / "self").write_text(membership)
    return root, tmp_path / "self"


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(*cgroup(tmp_path, "0::/\n", **{"cpu.max": "max 100000"})) == 8


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path / "nothing") == 8


@pytest.mark.parametrize(
    ("quota", "cores"), [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8)]
)
def test_a_version_2_quota_cuts_the_affinity_and_a_fraction_counts_as_a_core(
    tmp_path: Path, quota: str, cores: int
) -> None:
    assert usable_cores(*cgroup(tmp_path, "0::/\n", **{"cpu.max": quota})) == cores


def test_the_smallest_quota_on_the_way_up_binds(tmp_path: Path) -> None:
    tree = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000", "cpu.max": "500000 100000"}
    assert usable_cores(*cgroup(tmp_path, "0::/a/b\n", **tree)) == 3


@pytest.mark.parametrize("folder", ["cpu,cpuacct/docker/x", "cpu,cpuacct"])
def test_a_version_1_quota_cuts_the_affinity_wherever_it_is_mounted(tmp_path: Path, folder: str) -> None:
    tree = {f"{folder}/cpu.cfs_quota_us": "400000", f"{folder}/cpu.cfs_period_us": "100000"}
    assert usable_cores(*cgroup(tmp_path, "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n", **tree)) == 4


def test_a_version_1_quota_of_minus_one_is_none(tmp_path: Path) -> None:
    tree = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert usable_cores(*cgroup(tmp_path, "4:cpu:/\n", **tree)) == 8


def test_where_there_is_no_affinity_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores(tmp_path, tmp_path / "nothing") == 3


@pytest.mark.parametrize(("cores", "instances", "threads"), [(8, 2, 4), (8, 3, 2), (2, 2, 1), (2, 5, 1), (4, 0, 4)])
def test_instances_share_the_cores(cores: int, instances: int, threads: int) -> None:
    assert intra_op_threads(cores, instances) == threads
