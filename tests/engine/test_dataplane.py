# SPDX-License-Identifier: Apache-2.0
"""What the data plane tells of models, over a catalog that has or hasn't got them."""

from collections.abc import Sequence
from typing import cast

import pytest

from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.engine.ports import ModelCatalog
from naiad.errors import InvalidArgumentError, NaiadError, NotFoundError, UnavailableError
from naiad.snapshots import ModelStatistics, ServerMetadata

NO_VERSION = InvalidArgumentError("failed to get model version from specified version string 'x'")


class FakeModel:
    def __init__(self, version: str) -> None:
        self._version = version

    def statistics(self) -> ModelStatistics:
        return ModelStatistics("m", self._version)


class FakeCatalog:
    """A catalog of `m` with versions 1 and 3; `refusal` is what it raises for others."""

    def __init__(self, refusal: NaiadError) -> None:
        self._refusal = refusal

    def find(self, name: str, version: str) -> Model:
        if version.lstrip("0") not in {"1", "3"}:
            raise self._refusal
        return cast(Model, FakeModel(version.lstrip("0")))

    def ready_versions(self, name: str) -> Sequence[str]:
        return ["1", "3"] if name == "m" else []


def over(refusal: NaiadError) -> DataPlane:
    return DataPlane(cast(ModelCatalog, FakeCatalog(refusal)), ServerMetadata("naiad", "1.0", ()))


@pytest.mark.parametrize("refusal", [NotFoundError("not there"), UnavailableError("not ready")])
def test_a_model_that_cannot_be_asked_is_not_ready(refusal: NaiadError) -> None:
    assert over(refusal).model_ready("m", "2") is False
    assert over(refusal).model_ready("m", "1") is True


def test_asking_for_no_version_at_all_is_the_clients_mistake() -> None:
    with pytest.raises(InvalidArgumentError, match="specified version string 'x'"):
        over(NO_VERSION).model_ready("m", "x")
    with pytest.raises(InvalidArgumentError, match="specified version string 'x'"):
        over(NO_VERSION).statistics("m", "x")


def test_statistics_are_of_the_version_asked_for_or_of_all() -> None:
    dataplane = over(NotFoundError("not there"))
    assert [row.version for row in dataplane.statistics("m")] == ["1", "3"]
    assert [row.version for row in dataplane.statistics("m", "003")] == ["3"]


@pytest.mark.parametrize("refusal", [NotFoundError("not there"), UnavailableError("not ready")])
def test_statistics_of_what_is_not_served_are_refused_in_tritons_words(refusal: NaiadError) -> None:
    dataplane = over(refusal)
    with pytest.raises(InvalidArgumentError, match=r"^requested model version is not available for model 'm'$"):
        dataplane.statistics("m", "2")
    with pytest.raises(InvalidArgumentError, match=r"^requested model 'nobody' is not available$"):
        dataplane.statistics("nobody")
