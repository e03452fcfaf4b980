# SPDX-License-Identifier: Apache-2.0
"""A log line is Triton's, and one message is one line."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from naiad.telemetry import logs


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("naiad")
    before = (logger.handlers, logger.level, logger.propagate)
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_a_line_has_tritons_form(tmp_path: Path, logger: logging.Logger) -> None:
    file = tmp_path / "log"
    logs.configure(file=str(file))
    logger.warning('a "quoted"\nname is %s', "é")
    line = file.read_text(encoding="utf-8")
    assert re.fullmatch(r'W\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ test_logs\.py:\d+\] "a \\"quoted\\"\\nname is é"\n', line)


def test_levels_are_switched_one_by_one(tmp_path: Path, logger: logging.Logger) -> None:
    file = tmp_path / "log"
    logs.configure(info=False, error=False, file=str(file))
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "level %d", level)
    assert [line[0] for line in file.read_text().splitlines()] == ["W"]


def test_verbose_shows_what_is_for_developers(tmp_path: Path, logger: logging.Logger) -> None:
    file = tmp_path / "log"
    logs.configure(verbose=1, file=str(file))
    logger.debug("detail")
    assert file.read_text().startswith("V")
