# SPDX-License-Identifier: Apache-2.0
"""The boundary of errors that both protocols' requests have."""

import pytest

from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.server.transport.request_context import RequestContext


class Request(RequestContext):
    """Notes how it ends."""

    def __init__(self) -> None:
        self.cancelled = False
        self.on_cancel = None
        self.failures: list[NaiadError] = []

    @property
    def waiting(self) -> bool:
        return not self.failures

    @property
    def description(self) -> str:
        return "POST /here"

    def fail(self, error: NaiadError) -> None:
        self.failures.append(error)

    def cancel(self) -> None:
        self.cancelled = True
        self._tell_of_cancel()


def fall(error: Exception, *, and_say: str = "") -> None:
    raise error


def test_arguments_are_handed_on() -> None:
    request, seen = Request(), []
    request.run(lambda *args, **kwargs: seen.append((args, kwargs)), 1, two=2)
    assert seen == [((1,), {"two": 2})]
    assert request.waiting


def test_an_error_of_ours_is_the_answer() -> None:
    request, error = Request(), InvalidArgumentError("what, where")
    request.run(fall, error, and_say="nothing")
    assert request.failures == [error]


def test_an_unforeseen_error_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    request = Request()
    request.run(fall, ValueError("secret"))
    (failure,) = request.failures
    assert isinstance(failure, InternalError)
    assert "secret" not in str(failure)
    assert "unforeseen error while handling POST /here" in caplog.text
    assert "ValueError: secret" in caplog.text


def test_who_waits_is_told_of_the_cancel_once() -> None:
    request, told = Request(), []
    request.on_cancel = lambda: told.append(request.cancelled)
    request.cancel()
    request.cancel()
    assert told == [True]


def test_an_error_while_cancelling_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    request = Request()
    request.on_cancel = lambda: fall(ValueError("secret"))
    request.cancel()
    assert request.failures == []
    assert "unforeseen error while cancelling POST /here" in caplog.text
