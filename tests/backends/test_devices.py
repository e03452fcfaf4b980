# SPDX-License-Identifier: Apache-2.0
"""GPUs are counted as the driver and CUDA_VISIBLE_DEVICES say."""

from pathlib import Path

import pytest

from naiad.backends.devices import nvidia_gpus


@pytest.mark.parametrize(
    ("environment", "ids"),
    [
        ({}, (0, 1, 2)),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, (0, 1)),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4"}, (0, 1, 2)),
    ],
)
def test_the_ids_are_cudas(tmp_path: Path, environment: dict[str, str], ids: tuple[int, ...]) -> None:
    for number in range(3):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
    assert nvidia_gpus(tmp_path, environment) == ids


def test_without_a_driver_there_are_none(tmp_path: Path) -> None:
    assert nvidia_gpus(tmp_path / "absent", {}) == ()
