# SPDX-License-Identifier: Apache-2.0
"""Quantiles of a stream of numbers, within a promised error of rank, in little memory and at little cost.

A sketch after Manku, Rajagopalan and Lindsay: numbers wait in a level until it is full; then they are sorted, and every
second one goes on to the next level, where each stands for twice as many. Sorting is numpy's, so a number costs well
under a microsecond. May import numpy and `tensors`.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from naiad.tensors import Array

_LEVELS = 16
"""So many levels take a billion numbers and more; the promised error is shared among them."""


class QuantileSketch:
    """What has come so far, thinned out so that ranks are off by at most `error` of the count.

    Keeps at most 16 / `error` numbers for each doubling of the count beyond that.
    """

    def __init__(self, error: float) -> None:
        self._half = max(1, int(np.ceil(_LEVELS / (2 * error))))
        self._levels: list[list[Array]] = [[]]
        self._sizes = [0]
        self._takes_odd = [False]

    def extend(self, numbers: Array) -> None:
        """Add float64 numbers."""
        self._put(0, numbers)

    def _put(self, level: int, numbers: Array) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._sizes.append(0)
            self._takes_odd.append(False)
        self._levels[level].append(numbers)
        self._sizes[level] += len(numbers)
        if self._sizes[level] < 2 * self._half:
            return
        ordered = np.sort(np.concatenate(self._levels[level]))
        even = len(ordered) - len(ordered) % 2
        rest = ordered[even:]
        self._levels[level], self._sizes[level] = ([rest] if len(rest) else []), len(rest)
        # Taking the odd and the even ones in turn lets the errors of two rounds cancel each other.
        first = int(self._takes_odd[level])
        self._takes_odd[level] = not self._takes_odd[level]
        self._put(level + 1, ordered[first:even:2])

    def weighted(self) -> tuple[Array, Array]:
        """Return the numbers that were kept, in no order, and how many each stands for."""
        numbers = [one for level in self._levels for one in level]
        weights = [np.full(len(one), 2**level) for level, kept in enumerate(self._levels) for one in kept]
        if not numbers:
            return np.empty(0), np.empty(0, np.int64)
        return np.concatenate(numbers), np.concatenate(weights)


def quantiles(sketches: Iterable[QuantileSketch], wanted: Sequence[float]) -> list[float]:
    """Return the `wanted` quantiles (0 to 1) of all that the sketches have seen together; NaN if that is nothing."""
    parts = [sketch.weighted() for sketch in sketches]
    numbers, weights = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    if not len(numbers):
        return [float("nan")] * len(wanted)
    order = np.argsort(numbers, kind="stable")
    ranks = np.cumsum(weights[order])
    places = np.searchsorted(ranks, np.ceil(np.array(wanted) * ranks[-1]), side="left")
    return [float(one) for one in numbers[order][np.minimum(places, len(numbers) - 1)]]
