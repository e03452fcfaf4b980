# SPDX-License-Identifier: Apache-2.0
"""The catalog over real folders, mostly with the built-in backend: loading, finding, index, readiness, draining."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from naiad.backends.base import Backend, BackendModel, BackendSettings, ModelFiles, ModelInstance, Placement
from naiad.backends.registry import backend_for
from naiad.config.proto import ModelConfig
from naiad.engine.model import EngineContext, Model
from naiad.errors import InvalidArgumentError, NaiadError, NotFoundError, UnavailableError
from naiad.repository.catalog import Catalog
from naiad.repository.loading import ConfigCompleter, Loader
from naiad.requests import InferRequest, InferResponse, InputTensor
from naiad.snapshots import IndexEntry, ModelState
from naiad.tensors import Array

WriteModel = Callable[..., Path]

READY, LOADING, UNLOADING, UNAVAILABLE = (
    ModelState.READY,
    ModelState.LOADING,
    ModelState.UNLOADING,
    ModelState.UNAVAILABLE,
)

IDENTITY = """
backend: "builtin"
input { name: "x" data_type: TYPE_FP32 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
"""
ALL_VERSIONS = IDENTITY + "version_policy { all { } }\n"
FAILING = (
    IDENTITY
    + """
parameters { key: "kind" value { string_value: "fail_load" } }
parameters { key: "message" value { string_value: "boom" } }
"""
)
PATIENCE_S = 5.0


@asynccontextmanager
async def a_catalog(
    *repositories: Path,
    completers: Sequence[ConfigCompleter] = (),
    find_backend: Callable[[str], Backend] = backend_for,
    strict_readiness: bool = True,
) -> AsyncIterator[Catalog]:
    context = EngineContext.on(asyncio.get_running_loop())
    loader = Loader(partial(Model.load, context=context), completers=completers, find_backend=find_backend)
    catalog = Catalog(repositories, loader, strict_readiness=strict_readiness)
    try:
        yield catalog
    finally:
        await catalog.close(PATIENCE_S)


def run_loaded(repository: Path, check: Callable[[Catalog], None], *, strict_readiness: bool = True) -> None:
    """Load everything in `repository`, then `check`."""

    async def scenario() -> None:
        async with a_catalog(repository, strict_readiness=strict_readiness) as catalog:
            await catalog.load_all()
            check(catalog)

    asyncio.run(scenario())


def refusal(catalog: Catalog, name: str, version: str = "") -> tuple[type[NaiadError], str]:
    """Return the class and the text of the error that `find` raises."""
    with pytest.raises(NaiadError) as caught:
        catalog.find(name, version)
    return type(caught.value), str(caught.value)


@dataclass
class Gate:
    """A completer and a backend that stand still until they are let go, and tell when someone arrived."""

    opened: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    closed: list[str] = field(default_factory=list)

    def wait(self) -> None:
        self.arrived.set()
        assert self.opened.wait(PATIENCE_S)

    def complete(self, config: ModelConfig, _: Mapping[str, str]) -> ModelConfig:
        self.wait()
        return config

    def usable_gpus(self) -> Sequence[int]:
        return ()

    def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
        return GatedModel(self, config.name)


@dataclass
class GatedModel:
    """An identity whose requests wait at the gate."""

    gate: Gate
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    def complete(self, config: ModelConfig) -> ModelConfig:
        return config

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        return self

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        self.gate.wait()
        return {"y": inputs["x"]}

    def threads_per_instance(self, config: ModelConfig) -> int:
        return 1

    def close(self) -> None:
        self.gate.closed.append(self.name)


def ask(model: Model) -> "asyncio.Future[InferResponse | NaiadError]":
    """Send one number; the future holds what comes back."""
    answer: asyncio.Future[InferResponse | NaiadError] = asyncio.get_running_loop().create_future()
    data = np.array([7], np.float32)
    model.submit(InferRequest(model.name, (InputTensor("x", "FP32", (1,), data),)), answer.set_result)
    return answer


class TestFind:
    def test_no_version_means_the_largest_as_a_number(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", ALL_VERSIONS, versions="2 10 9")

        def check(catalog: Catalog) -> None:
            assert catalog.find("m", "").version == "10"
            assert catalog.find("m", "9").version == "9"
            assert catalog.find("m", "9") is catalog.find("m", "09"), "Triton reads the version as a number"
            assert catalog.ready_versions("m") == ["2", "9", "10"]

        run_loaded(repository, check)

    def test_all_ready_goes_by_name_then_version(self, repository: Path, write_model: WriteModel) -> None:
        write_model("b", ALL_VERSIONS, versions="10 2")
        write_model("a", IDENTITY)
        write_model("bad", FAILING)

        def check(catalog: Catalog) -> None:
            served = [(model.name, model.version) for model in catalog.all_ready()]
            assert served == [("a", "1"), ("b", "2"), ("b", "10")]

        run_loaded(repository, check)

    def test_what_cannot_be_found_is_told_in_tritons_words(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", IDENTITY, versions="1 2")
        write_model("failed", FAILING, versions="3")
        write_model("empty", IDENTITY, versions="")
        write_model("wrong", "foo: 1")
        too_large = str(2**63)

        def check(catalog: Catalog) -> None:
            unknown = "Request for unknown model: "
            assert refusal(catalog, "x") == (NotFoundError, f"{unknown}'x' is not found")
            assert refusal(catalog, "x", "1") == (NotFoundError, f"{unknown}'x' is not found")
            assert refusal(catalog, "wrong") == (NotFoundError, f"{unknown}'wrong' is not found")
            assert refusal(catalog, "m", "9") == (NotFoundError, f"{unknown}'m' version 9 is not found")
            assert refusal(catalog, "m", "1") == (NotFoundError, f"{unknown}'m' version 1 is not found")
            assert refusal(catalog, "m", "0") == (NotFoundError, f"{unknown}'m' version 0 is not found")
            assert refusal(catalog, "failed") == (NotFoundError, f"{unknown}'failed' has no available versions")
            assert refusal(catalog, "failed", "3") == (
                UnavailableError,
                f"{unknown}'failed' version 3 is not at ready state",
            )
            assert refusal(catalog, "empty") == (NotFoundError, f"{unknown}'empty' has no available versions")
            assert refusal(catalog, "empty", "1") == (NotFoundError, f"{unknown}'empty' version 1 is not found")
            for version in ("abc", "1x", " 1", "-1", "1.0", "١", too_large, "9" * 5000):
                assert refusal(catalog, "m", version) == (
                    InvalidArgumentError,
                    (
                        f"failed to get model version from specified version string '{version}' (details: stol), "
                        "version should be an integral value > 0"
                    ),
                )
            assert catalog.ready_versions("x") == catalog.ready_versions("failed") == []

        run_loaded(repository, check)


class TestLoading:
    def test_one_bad_model_stops_no_other_and_its_reason_is_kept(
        self, repository: Path, write_model: WriteModel
    ) -> None:
        write_model("good", IDENTITY)
        write_model("failing", FAILING)
        write_model("wrong", "foo: 1")
        write_model("empty", IDENTITY, versions="")
        (repository / "file.txt").touch()

        async def scenario() -> None:
            async with a_catalog(repository) as catalog:
                report = await catalog.load_all()
                empty, failing, good, wrong = report.entries
                assert failing == IndexEntry("failing", "1", UNAVAILABLE, "Internal: boom")
                assert good == IndexEntry("good", "1", READY)
                assert (empty.name, empty.version, empty.state) == ("empty", None, UNAVAILABLE)
                assert empty.reason.startswith("Invalid argument: at least one version must be available under")
                assert (wrong.name, wrong.version, wrong.state) == ("wrong", None, UNAVAILABLE)
                assert wrong.reason.startswith("Invalid argument: ")
                assert "foo" in wrong.reason
                assert report.failed() == (empty, failing, wrong)
                assert [model.name for model in catalog.all_ready()] == ["good"]

        asyncio.run(scenario())

    def test_versions_of_a_model_serve_together_or_not_at_all(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", ALL_VERSIONS, versions="1 2 3")
        gate = Gate()
        gate.opened.set()

        class FailsVersion2(Gate):
            def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
                if files.version == 2:
                    raise InvalidArgumentError("bad file; mend it")
                return GatedModel(gate, f"{config.name} {files.version}")

        async def scenario() -> None:
            async with a_catalog(repository, find_backend=lambda _: FailsVersion2()) as catalog:
                report = await catalog.load_all()
                assert report.entries == (
                    IndexEntry("m", "1", UNAVAILABLE, "unloaded"),
                    IndexEntry("m", "2", UNAVAILABLE, "Invalid argument: bad file; mend it"),
                    IndexEntry("m", "3", UNAVAILABLE, "unloaded"),
                )
                assert set(gate.closed) == {"m 1", "m 3"}
                assert catalog.all_ready() == []

        asyncio.run(scenario())

    def test_any_exception_of_a_backend_or_completer_becomes_a_reason(
        self, repository: Path, write_model: WriteModel
    ) -> None:
        write_model("m", IDENTITY)

        def explode(config: ModelConfig, metadata: Mapping[str, str]) -> ModelConfig:
            raise ZeroDivisionError("of all things")

        async def scenario() -> None:
            async with a_catalog(repository, completers=[explode]) as catalog:
                report = await catalog.load_all()
                assert report.entries == (
                    IndexEntry("m", "1", UNAVAILABLE, "Internal: ZeroDivisionError: of all things"),
                )

        asyncio.run(scenario())

    def test_models_load_side_by_side(self, repository: Path, write_model: WriteModel) -> None:
        for name in "abcd":
            write_model(name, IDENTITY)
        together = threading.Barrier(4)

        def meet(config: ModelConfig, metadata: Mapping[str, str]) -> ModelConfig:
            together.wait(PATIENCE_S)
            return config

        async def scenario() -> None:
            async with a_catalog(repository, completers=[meet]) as catalog:
                report = await catalog.load_all()
                assert report.failed() == ()

        asyncio.run(scenario())

    def test_while_a_model_loads_it_is_known_but_not_ready(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", IDENTITY)
        gate = Gate()

        async def scenario() -> None:
            async with a_catalog(repository, completers=[gate.complete]) as catalog:
                loading = asyncio.ensure_future(catalog.load_all())
                await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
                assert catalog.index() == [IndexEntry("m", "1", LOADING)]
                assert not catalog.is_ready()
                assert refusal(catalog, "m") == (
                    NotFoundError,
                    "Request for unknown model: 'm' has no available versions",
                )
                assert refusal(catalog, "m", "1")[0] is UnavailableError
                gate.opened.set()
                await loading
                assert catalog.index() == [IndexEntry("m", "1", READY)]
                assert catalog.is_ready()

        asyncio.run(scenario())


class TestIndex:
    def test_a_name_in_two_repositories_is_not_served(self, tmp_path: Path, write_model: WriteModel) -> None:
        first = write_model("m", IDENTITY)
        write_model("other", IDENTITY)
        shutil.copytree(first, tmp_path / "second" / "m")

        async def scenario() -> None:
            async with a_catalog(first.parent, tmp_path / "second") as catalog:
                report = await catalog.load_all()
                duplicate = IndexEntry("m", None, UNAVAILABLE, "model appears in two or more repositories")
                assert report.entries == (duplicate, IndexEntry("other", "1", READY))
                assert report.failed() == (duplicate,)
                assert refusal(catalog, "m") == (NotFoundError, "Request for unknown model: 'm' is not found")

        asyncio.run(scenario())

    def test_it_shows_the_directories_that_are_there_now(self, repository: Path, write_model: WriteModel) -> None:
        write_model("goes", IDENTITY)
        write_model("stays", IDENTITY)

        def check(catalog: Catalog) -> None:
            shutil.rmtree(repository / "goes")
            write_model("came", IDENTITY)
            assert catalog.index() == [IndexEntry("came"), IndexEntry("stays", "1", READY)]
            assert catalog.find("goes", "").name == "goes", "it serves on"

        run_loaded(repository, check)


class TestReadiness:
    def test_ready_means_loaded_and_every_model_ready(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", IDENTITY)

        async def scenario() -> None:
            async with a_catalog(repository) as catalog:
                assert not catalog.is_ready()
                await catalog.load_all()
                assert catalog.is_ready()
                await catalog.close(PATIENCE_S)
                assert not catalog.is_ready()

        asyncio.run(scenario())

    def test_a_repository_without_models_is_ready(self, repository: Path) -> None:
        def check(catalog: Catalog) -> None:
            assert catalog.is_ready()
            assert catalog.index() == []

        run_loaded(repository, check)

    @pytest.mark.parametrize(
        ("config", "versions"), [(FAILING, "1"), ("foo: 1", "1"), (IDENTITY, "")], ids=["failed", "wrong", "empty"]
    )
    def test_any_model_that_does_not_serve_counts_if_readiness_is_strict(
        self, repository: Path, write_model: WriteModel, config: str, versions: str
    ) -> None:
        write_model("m", config, versions=versions)
        write_model("good", IDENTITY)
        run_loaded(repository, lambda catalog: _assert_ready(catalog, expected=False))
        run_loaded(repository, lambda catalog: _assert_ready(catalog, expected=True), strict_readiness=False)


def _assert_ready(catalog: Catalog, *, expected: bool) -> None:
    assert catalog.is_ready() is expected


class TestClose:
    def test_accepted_requests_are_finished_and_new_ones_refused(
        self, repository: Path, write_model: WriteModel
    ) -> None:
        write_model("m", IDENTITY)
        gate = Gate()

        async def scenario() -> None:
            async with a_catalog(repository, find_backend=lambda _: gate) as catalog:
                await catalog.load_all()
                answer = ask(catalog.find("m", ""))
                await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
                closing = asyncio.ensure_future(catalog.close(PATIENCE_S))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert catalog.index() == [IndexEntry("m", "1", UNLOADING)]
                assert refusal(catalog, "m", "1")[0] is UnavailableError
                gate.opened.set()
                assert await closing is True
                response = await answer
                assert isinstance(response, InferResponse)
                assert response.output("y").tolist() == [7.0]
                assert catalog.index() == [IndexEntry("m", "1", UNAVAILABLE, "unloaded")]
                assert set(gate.closed) == {"m"}

        asyncio.run(scenario())

    def test_out_of_time_it_says_so(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", IDENTITY)
        gate = Gate()

        async def scenario() -> None:
            async with a_catalog(repository, find_backend=lambda _: gate) as catalog:
                await catalog.load_all()
                model = catalog.find("m", "")
                ask(model)
                await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
                waiting = ask(model)
                assert await catalog.close(0.01) is False
                assert isinstance(await waiting, UnavailableError), "what only waited is failed at once"
                gate.opened.set()

        asyncio.run(scenario())

    def test_a_load_under_way_is_waited_for_and_the_rest_is_not_begun(
        self, repository: Path, write_model: WriteModel
    ) -> None:
        names = ["a", "b", "c", "d", "e", "f"]
        for name in names:
            write_model(name, IDENTITY)
        gate, begun = Gate(), []

        def complete(config: ModelConfig, metadata: Mapping[str, str]) -> ModelConfig:
            begun.append(config.name)
            gate.wait()
            return config

        async def scenario() -> None:
            async with a_catalog(repository, completers=[complete]) as catalog:
                loading = asyncio.ensure_future(catalog.load_all())
                await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
                closing = asyncio.ensure_future(catalog.close(PATIENCE_S))
                await asyncio.sleep(0)
                gate.opened.set()
                assert await closing is True
                report = await loading
                assert len(begun) <= 4
                assert {entry.reason for entry in report.entries if entry.name in begun} == {"unloaded"}
                assert {entry.reason for entry in report.entries if entry.name not in begun} == {
                    "Unavailable: the server was stopped before the model was loaded"
                }
                assert catalog.all_ready() == []

        asyncio.run(scenario())

    def test_a_load_that_outlasts_the_time_is_cancelled(self, repository: Path, write_model: WriteModel) -> None:
        write_model("m", IDENTITY)
        gate = Gate()

        async def scenario() -> None:
            async with a_catalog(repository, completers=[gate.complete]) as catalog:
                loading = asyncio.ensure_future(catalog.load_all())
                await asyncio.to_thread(gate.arrived.wait, PATIENCE_S)
                assert await catalog.close(0.01) is False
                with pytest.raises(asyncio.CancelledError):
                    await loading
                gate.opened.set()

        asyncio.run(scenario())
