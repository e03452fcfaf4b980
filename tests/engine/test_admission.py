# SPDX-License-Identifier: Apache-2.0
"""Requests beyond the limit on those in flight, whatever becomes of the others."""

from typing import cast

import pytest

from naiad.engine.admission import Admission
from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.engine.pending import OnResponse
from naiad.engine.ports import ModelCatalog
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, UnavailableError
from naiad.requests import InferRequest, InferResponse
from naiad.snapshots import ServerMetadata
from naiad.telemetry.traces.trace import Trace

REQUEST = InferRequest("m", ())
ANSWER = InferResponse("m", "1", ())


class FakeModel:
    """Holds requests, or refuses them with `objection`."""

    def __init__(self) -> None:
        self.held: list[OnResponse] = []
        self.cancelled: list[object] = []
        self.rejections = 0
        self.objection: NaiadError | None = None

    def submit(self, request: InferRequest, on_response: OnResponse, trace: Trace | None = None) -> InferRequest:
        if self.objection is not None:
            raise self.objection
        self.held.append(on_response)
        return request

    def cancel(self, pending: object) -> None:
        self.cancelled.append(pending)

    def note_rejection(self) -> None:
        self.rejections += 1


class Served:
    """A data plane that allows two requests at a time."""

    def __init__(self) -> None:
        self.fake = FakeModel()
        self.model = cast(Model, self.fake)
        self.answers: list[InferResponse | NaiadError] = []
        self.dataplane = DataPlane(cast(ModelCatalog, None), ServerMetadata("naiad", "1", ()), 2)

    def ask(self) -> object:
        return self.dataplane.infer(self.model, REQUEST, self.answers.append)

    def assert_full(self) -> None:
        with pytest.raises(UnavailableError) as caught:
            self.ask()
        assert str(caught.value) == (
            "the server has as many requests in flight as --max-requests-in-flight=2 allows; "
            "retry later, or send fewer at a time"
        )


@pytest.fixture
def full() -> Served:
    """Two requests are in flight."""
    served = Served()
    served.ask()
    served.ask()
    return served


def test_one_too_many_is_refused_and_counted_as_rejected(full: Served) -> None:
    full.assert_full()
    assert (len(full.fake.held), full.fake.rejections) == (2, 1)


@pytest.mark.parametrize("last", [ANSWER, InternalError("failed")])
def test_the_last_answer_makes_room(full: Served, last: InferResponse | NaiadError) -> None:
    full.fake.held[0](last)
    full.ask()
    full.assert_full()
    assert full.answers == [last]


def test_answers_before_the_last_make_none(full: Served) -> None:
    full.fake.held[0](ANSWER._replace(final=False))
    full.assert_full()


def test_there_is_room_before_the_last_answer_is_told() -> None:
    admission, counts = Admission(1), list[int]()
    admission.admit(lambda _: counts.append(admission.count))(ANSWER)
    assert counts == [0]


def test_a_request_that_is_cancelled_makes_room_once() -> None:
    served = Served()
    first = served.dataplane.infer(served.model, REQUEST, served.answers.append)
    served.ask()
    for _ in range(2):
        first.cancel()
    served.ask()
    served.assert_full()
    assert served.fake.cancelled == [REQUEST, REQUEST]


def test_a_request_that_its_model_refuses_takes_no_room() -> None:
    served = Served()
    served.fake.objection = InvalidArgumentError("does not fit")
    for _ in range(5):
        with pytest.raises(InvalidArgumentError, match="does not fit"):
            served.ask()
    assert served.fake.rejections == 0


def test_without_a_limit_all_are_taken() -> None:
    served = Served()
    served.dataplane = DataPlane(cast(ModelCatalog, None), ServerMetadata("naiad", "1", ()))
    for _ in range(100):
        served.ask()
    assert len(served.fake.held) == 100
