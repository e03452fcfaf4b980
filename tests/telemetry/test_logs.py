# SPDX-License-Identifier: Apache-2.0
"""A log line is Triton's or JSON, one message is one line, and the settings can change at any time."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from naiad.protocol.log_settings import FORMATS
from naiad.snapshots import LogSettings
from naiad.telemetry.logs import FORMATTERS, ServerLog, open_log


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("naiad")
    before = (logger.handlers, logger.level, logger.propagate)
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_line_has_tritons_form(file: Path, logger: logging.Logger) -> None:
    open_log(LogSettings(file=str(file)))
    logger.warning('a "quoted"\nname is %s', "é")
    line = file.read_text(encoding="utf-8")
    assert re.fullmatch(r'W\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ test_logs\.py:\d+\] "a \\"quoted\\"\\nname is é"\n', line)


def test_a_line_has_tritons_form_with_iso_8601_times(file: Path, logger: logging.Logger) -> None:
    open_log(LogSettings(file=str(file), format="ISO8601"))
    logger.error("x")
    line = file.read_text(encoding="utf-8")
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ E \d+ test_logs\.py:\d+\] "x"\n', line)


def test_a_json_line_is_one_object_with_the_requests_id(file: Path, logger: logging.Logger) -> None:
    open_log(LogSettings(file=str(file), format="json", verbose_level=1))
    logger.debug("a\n%s", "b", extra={"request_id": "7"})
    try:
        int("odd")
    except ValueError:
        logger.exception("failed")
    first, second = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert (first["level"], first["message"], first["request_id"]) == ("verbose", "a\nb", "7")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["time"])
    assert re.fullmatch(r"test_logs\.py:\d+", first["source"])
    assert "traceback" not in first
    assert second["level"] == "error"
    assert second["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'odd'")
    assert "request_id" not in second


def test_levels_are_switched_one_by_one(file: Path, logger: logging.Logger) -> None:
    open_log(LogSettings(info=False, error=False, file=str(file)))
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "level %d", level)
    assert [line[0] for line in file.read_text().splitlines()] == ["W"]


def test_settings_change_while_it_runs(file: Path, logger: logging.Logger) -> None:
    log = open_log(LogSettings(file=str(file)))
    logger.debug("unseen")
    log.change(LogSettings(file=str(file), verbose_level=1))
    logger.debug("detail")
    log.change(LogSettings(file=str(file), format="json", warning=False))
    logger.debug("unseen")
    logger.warning("unseen")
    logger.info("seen")
    first, second = file.read_text().splitlines()
    assert first.startswith("V")
    assert json.loads(second)["message"] == "seen"
    assert log.settings == LogSettings(file=str(file), format="json", warning=False)


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        (LogSettings(verbose_level=1), logging.DEBUG),
        (LogSettings(), logging.INFO),
        (LogSettings(info=False), logging.WARNING),
        (LogSettings(info=False, warning=False), logging.ERROR),
        (LogSettings(info=False, warning=False, error=False), logging.CRITICAL + 1),
    ],
)
def test_in_a_program_with_a_log_of_its_own_a_change_sets_the_level(
    settings: LogSettings, level: int, logger: logging.Logger
) -> None:
    handlers, before = list(logger.handlers), logger.level
    log = ServerLog()
    assert logger.level == before
    log.change(settings)
    assert logger.level == level
    assert logger.handlers == handlers


def test_every_format_that_can_be_asked_for_can_be_written() -> None:
    assert tuple(FORMATTERS) == FORMATS
