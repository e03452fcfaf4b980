# SPDX-License-Identifier: Apache-2.0
"""The life of a model version."""

from itertools import product
from typing import cast

import pytest

from naiad.engine.model import Model
from naiad.repository.lifecycle import TRANSITIONS, Event, VersionLife
from naiad.snapshots import ModelState

MODEL = cast(Model, object())


def test_a_version_is_loaded_serves_and_is_unloaded() -> None:
    loading = VersionLife(3).load()
    assert loading == VersionLife(3, ModelState.LOADING)
    ready = loading.loaded(MODEL)
    assert ready == VersionLife(3, ModelState.READY, model=MODEL)
    unloading = ready.unload()
    assert unloading == VersionLife(3, ModelState.UNLOADING, model=MODEL)
    assert unloading.unloaded() == VersionLife(3, ModelState.UNAVAILABLE, "unloaded")


def test_a_failed_version_keeps_its_reason_until_it_is_loaded_again() -> None:
    failed = VersionLife(1).load().failed("Internal: boom")
    assert failed == VersionLife(1, ModelState.UNAVAILABLE, "Internal: boom")
    assert failed.load() == VersionLife(1, ModelState.LOADING)


def test_only_what_ought_to_serve_and_does_not_is_wanting() -> None:
    loading = VersionLife(1).load()
    assert loading.is_wanting
    assert loading.failed("Internal: boom").is_wanting
    assert not loading.withdrawn().is_wanting
    assert not loading.loaded(MODEL).is_wanting
    assert loading.loaded(MODEL).unload().is_wanting
    assert not loading.loaded(MODEL).unload().unloaded().is_wanting


@pytest.mark.parametrize(("state", "event"), [pair for pair in product(ModelState, Event) if pair not in TRANSITIONS])
def test_nothing_else_may_happen(state: ModelState, event: Event) -> None:
    steps = {
        Event.LOAD: VersionLife.load,
        Event.LOADED: lambda life: life.loaded(MODEL),
        Event.FAILED: lambda life: life.failed("x"),
        Event.WITHDRAWN: VersionLife.withdrawn,
        Event.UNLOAD: VersionLife.unload,
        Event.UNLOADED: VersionLife.unloaded,
    }
    with pytest.raises(KeyError):
        steps[event](VersionLife(1, state))
