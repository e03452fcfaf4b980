# SPDX-License-Identifier: Apache-2.0
"""What each class of error becomes on the wire."""

import pytest

from naiad.errors import (
    AlreadyExistsError,
    CancelledError,
    InternalError,
    InvalidArgumentError,
    NaiadError,
    NotFoundError,
    UnavailableError,
    UnknownError,
    UnsupportedError,
)


@pytest.mark.parametrize(
    ("kind", "label", "http_status", "grpc_status"),
    [
        (InternalError, "Internal", 500, 13),
        (NotFoundError, "Not found", 404, 5),
        (UnavailableError, "Unavailable", 503, 14),
        (UnsupportedError, "Unsupported", 501, 12),
        (InvalidArgumentError, "Invalid argument", 400, 3),
        (AlreadyExistsError, "Already exists", 400, 6),
        (CancelledError, "Cancelled", 400, 1),
        (UnknownError, "Unknown", 400, 2),
    ],
)
def test_an_error_has_the_label_and_the_statuses_of_tritons_code(
    kind: type[NaiadError], label: str, http_status: int, grpc_status: int
) -> None:
    assert (kind.label, kind.http_status, kind.grpc_status) == (label, http_status, grpc_status)
    assert str(kind("what it is")) == "what it is"


def test_every_class_of_the_tree_has_codes_of_its_own() -> None:
    kinds = [kind for kind in NaiadError.__subclasses__() if kind.__module__ == "naiad.errors"]
    assert len({kind.grpc_status for kind in kinds}) == len(kinds) == 8
