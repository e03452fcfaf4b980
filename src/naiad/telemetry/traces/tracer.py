# SPDX-License-Identifier: Apache-2.0
"""Which requests are traced: Triton's settings, for all models and for one, and the sampling that follows from them.

A plain state machine, touched on the event loop's thread only; what becomes of a finished trace is a `Sink`'s matter.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from naiad.errors import InvalidArgumentError
from naiad.snapshots import TraceSettings
from naiad.telemetry.traces.trace import Series, Trace, read_traceparent

_log = logging.getLogger(__name__)

TraceChanges = Mapping[str, tuple[str, ...] | int | None]
"""Name of a field of `TraceSettings` → what it is to be; None: as if it had never been set."""


class Sink(Protocol):
    """What takes finished traces."""

    def put(self, trace: Trace) -> None:
        """Take a trace; must not block."""

    def end(self, series: Series) -> None:
        """Note that no further trace of the series will be begun."""


class Tracer:
    """Says of each request whether it is traced; `is_active` is false where none of any model is.

    `settings` are those at the start of the server, to which a cleared setting returns. A model's own settings come
    before those for all models.
    """

    __slots__ = ("_all", "_given", "_initial", "_number", "_own", "_sink", "is_active")

    def __init__(self, settings: TraceSettings, sink: Sink) -> None:
        self._initial = settings
        self._sink = sink
        self._number = 0
        self._all = _Sampler(settings)
        self._given: dict[str, TraceChanges] = {}
        self._own: dict[str, _Sampler] = {}
        self.is_active = bool(settings.levels)
        _warn_of_tensors(settings)

    def settings(self, model: str = "") -> TraceSettings:
        """Return the settings for a model, or those for all; `count` is how many traces are still to come."""
        return self._own.get(model, self._all).settings()

    def change(self, changes: TraceChanges, model: str = "") -> None:
        """Change the settings for all models, or only for one, and begin to count anew.

        Raises:
            InvalidArgumentError: nothing can be traced with the settings that would result (Triton's texts).
        """
        if model:
            given = {**self._given_to(model), **changes}
            given = {name: value for name, value in given.items() if value is not None}
            _check(_changed(self._all.settings(), given))
            self._replace_own(model, given)
        else:
            cleared = {name: getattr(self._initial, name) for name, value in changes.items() if value is None}
            settings = _changed(self._all.settings(), {**changes, **cleared})
            _check(settings)
            self._sink.end(self._all.series)
            self._all = _Sampler(settings)
            for name in list(self._given):
                self._replace_own(name, self._given_to(name))
        self.is_active = any(sampler.levels for sampler in (self._all, *self._own.values()))

    def sample(self, model: str, transport: str, traceparent: str | None = None) -> Trace | None:
        """Return a trace for a request to `model`, or None if it is not to be traced.

        In OpenTelemetry's mode one that comes with a good `traceparent` is traced whatever rate and count say.
        """
        sampler = self._own.get(model, self._all)
        remote = None
        if traceparent is not None and sampler.is_remote_controlled:
            remote = read_traceparent(traceparent)
        if not sampler.takes(remote is not None):
            return None
        self._number += 1
        return Trace(
            self._number,
            transport=transport,
            levels=sampler.levels,
            series=sampler.series,
            finish=self._sink.put,
            remote=remote,
        )

    def _given_to(self, model: str) -> dict[str, tuple[str, ...] | int | None]:
        """Return the settings that are a model's own, of its count what is left."""
        given = dict(self._given.get(model, {}))
        if "count" in given:
            given["count"] = self._own[model].settings().count
        return given

    def _replace_own(self, model: str, given: TraceChanges) -> None:
        before = self._own.pop(model, None)
        if before is not None:
            self._sink.end(before.series)
            del self._given[model]
        if given:
            self._given[model] = given
            self._own[model] = _Sampler(_changed(self._all.settings(), given))


def _check(settings: TraceSettings) -> None:
    reason = objection(settings)
    if reason is not None:
        raise InvalidArgumentError(f"Attempting to set invalid trace setting :{reason}")
    _warn_of_tensors(settings)


def _warn_of_tensors(settings: TraceSettings) -> None:
    if "TENSORS" in settings.levels and settings.mode == "opentelemetry":
        _log.warning("Tensor level tracing is not supported by the mode: opentelemetry")


class _Sampler:
    """Counts the requests under one state of the settings."""

    __slots__ = ("_left", "_rate", "_seen", "_settings", "is_remote_controlled", "levels", "series")

    def __init__(self, settings: TraceSettings) -> None:
        self._settings = settings
        self._rate = settings.rate
        self._left = settings.count
        self._seen = 0
        self.levels = settings.levels
        self.series = Series(settings.log_frequency, settings.count)
        self.is_remote_controlled = bool(settings.levels) and settings.mode == "opentelemetry"

    def settings(self) -> TraceSettings:
        return replace(self._settings, count=self._left)

    def takes(self, is_wanted: bool) -> bool:
        """Count a request and say whether it is traced; `is_wanted` if the client wants it to be."""
        if not self.levels:
            return False
        if self._rate == 0 or (self._left == 0 and not is_wanted):
            return is_wanted
        self._seen += 1
        if self._seen % self._rate or self._left == 0:
            return is_wanted
        if self._left > 0:
            self._left -= 1
        return True


def objection(settings: TraceSettings) -> str | None:
    """Return why nothing can be traced with these settings, in Triton's words; None if it can, or nothing is to be."""
    if not settings.levels:
        return None
    if settings.rate == 0:
        return "sample rate must be non-zero"
    if settings.mode == "triton" and not settings.file:
        return "trace file name is not given"
    return "" if settings.count == 0 else None


def _changed(settings: TraceSettings, changes: TraceChanges) -> TraceSettings:
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]  # each has its own type
