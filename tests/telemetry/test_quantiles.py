# SPDX-License-Identifier: Apache-2.0
"""A quantile's rank is off by no more than promised, whatever comes in whatever order."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.telemetry.quantiles import QuantileSketch, quantiles

QUANTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)


def filled(error: float, numbers: np.ndarray, chunk: int) -> QuantileSketch:
    sketch = QuantileSketch(error)
    for start in range(0, len(numbers), chunk):
        sketch.extend(numbers[start : start + chunk])
    return sketch


def assert_within(error: float, numbers: np.ndarray, found: Sequence[float]) -> None:
    ordered = np.sort(numbers)
    for quantile, value in zip(QUANTILES, found, strict=True):
        wanted = math.ceil(quantile * len(numbers))
        lowest = int(np.searchsorted(ordered, value, "left")) + 1
        highest = int(np.searchsorted(ordered, value, "right"))
        off = max(lowest - wanted, wanted - highest, 0)
        assert off <= error * len(numbers) + 1, (quantile, off)


def test_without_numbers_there_is_no_quantile() -> None:
    assert all(math.isnan(one) for one in quantiles([QuantileSketch(0.1)], QUANTILES))


def test_few_numbers_are_exact() -> None:
    sketch = filled(0.01, np.arange(100, 0, -1.0), 7)
    assert quantiles([sketch], (0.5, 0.9, 0.99, 1.0)) == [50, 90, 99, 100]


@pytest.mark.parametrize("order", ["ascending", "descending", "random", "skewed"])
@pytest.mark.parametrize("error", [0.05, 0.01, 0.001])
def test_ranks_are_within_the_error(order: str, error: float) -> None:
    numbers = np.arange(200_000, dtype=np.float64)
    if order == "descending":
        numbers = numbers[::-1].copy()
    elif order == "random":
        np.random.default_rng(7).shuffle(numbers)
    elif order == "skewed":
        numbers = np.random.default_rng(7).exponential(1000, len(numbers)).round()
    sketch = filled(error, numbers, 1024)
    assert_within(error, numbers, quantiles([sketch], QUANTILES))


def test_little_is_kept_and_weights_stand_for_all() -> None:
    sketch = filled(0.01, np.arange(1_000_000, dtype=np.float64), 4096)
    numbers, weights = sketch.weighted()
    assert weights.sum() == 1_000_000
    assert len(numbers) < 16 / 0.01 * 12


def test_two_sketches_answer_as_one() -> None:
    low, high = np.arange(0, 3000.0), np.arange(3000.0, 10_000.0)
    both = [filled(0.01, low, 100), filled(0.01, high, 100)]
    assert_within(0.01, np.concatenate([low, high]), quantiles(both, QUANTILES))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=2000), st.sampled_from([0.5, 0.2, 0.05]), st.integers(1, 300))
def test_ranks_of_any_numbers_are_within_the_error(values: list[int], error: float, chunk: int) -> None:
    numbers = np.array(values, np.float64)
    assert_within(error, numbers, quantiles([filled(error, numbers, chunk)], QUANTILES))
