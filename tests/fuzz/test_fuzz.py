# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come, only errors that may be told to a client come out, soon and in bounded memory.

`make fuzz` runs the same for longer. A case that fails is written to `corpus/`, from where every run replays it; give
it a telling name once it is understood.
"""

import hashlib
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from tests.fuzz.targets import CORPUS, TARGETS

# protobuf for Python reads an unknown escape as it is written, with a warning that no user sees.
pytestmark = pytest.mark.filterwarnings("ignore:.*invalid escape sequence:DeprecationWarning")

_CASE_S = 2
"""A case takes a millisecond; what takes this long grows faster than its input."""
_MOST_GROWTH_KIB = 128 * 1024


class TooSlowError(AssertionError):
    pass


@contextmanager
def watched() -> Iterator[None]:
    """Fail with `TooSlowError` when the block does not end in time."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"not done after {_CASE_S} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, _CASE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _kept(target: str, case: bytes) -> Path:
    file = CORPUS / target / hashlib.sha256(case).hexdigest()[:12]
    file.write_bytes(case)
    return file


def _go_on(done: int, cases: int, started_s: float) -> bool:
    seconds = os.environ.get("NAIAD_FUZZ_SECONDS")
    return done < cases if seconds is None else time.monotonic() - started_s < float(seconds)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = TARGETS[name]
    seed = 0 if os.environ.get("CI") else random.SystemRandom().randrange(1 << 32)
    corpus = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    mutator = target.mutator(corpus, target.tokens, random.Random(seed))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started_s, done = time.monotonic(), 0
    while _go_on(done, target.cases, started_s):
        case = mutator.case()
        done += 1
        try:
            with watched():
                target.run(case)
        except Exception as error:
            raise AssertionError(f"{name}, random seed {seed}, case {done}: see {_kept(name, case)}") from error
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < _MOST_GROWTH_KIB, f"{name}, random seed {seed}: memory grew by {grown_kib} KiB"
    if "NAIAD_FUZZ_SECONDS" in os.environ:
        with capsys.disabled():
            sys.stdout.write(f"\n{name}: {done} cases in {time.monotonic() - started_s:.0f} s, random seed {seed}\n")


@pytest.mark.parametrize(
    ("name", "file"),
    [(name, file) for name in TARGETS for file in sorted((CORPUS / name).iterdir())],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_what_is_kept_goes_well(name: str, file: Path) -> None:
    with watched():
        TARGETS[name].run(file.read_bytes())
