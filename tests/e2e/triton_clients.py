# SPDX-License-Identifier: Apache-2.0
"""tritonclient's two HTTP clients behind one face, so that a test runs with both."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import tritonclient.http
import tritonclient.http.aio
from tritonclient.http import InferInput, InferRequestedOutput, InferResult

T = TypeVar("T")
KINDS = ("sync", "aio")


class BlockingAioClient:
    """One of the asyncio clients, that of `package`, on a loop of its own: every call waits for its answer."""

    def __init__(self, url: str, package: Any = tritonclient.http.aio) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(_new_aio_client(url, package))

    def __enter__(self) -> "BlockingAioClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, use: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine with the client itself on the loop."""
        return self._runner.run(use(self._client))

    def close(self) -> None:
        """Close the client, then its loop."""
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **options: self._runner.run(_awaited(method(*args, **options)))


@contextmanager
def connected(kind: str, url: str) -> Iterator[Any]:
    """Yield a client of a kind in KINDS; `url` is host:port."""
    client = BlockingAioClient(url) if kind == "aio" else tritonclient.http.InferenceServerClient(url, concurrency=8)
    try:
        yield client
    finally:
        client.close()


def tensor(name: str, array: np.ndarray, datatype: str = "FP32", binary: bool = True) -> InferInput:
    """Return an input of a request."""
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def output(name: str, **options: Any) -> InferRequestedOutput:
    """Return an output to ask for."""
    return InferRequestedOutput(name, **options)


def at_once(url: str, kind: str, count: int, model: str, **options: Any) -> "list[InferResult | Exception]":
    """Send `count` requests to a model without waiting for answers in between; return the answers or errors."""
    return _aio_at_once(url, count, model, options) if kind == "aio" else _sync_at_once(url, count, model, options)


def _row(index: int) -> InferInput:
    return tensor("INPUT0", np.full((1, 3), index, np.float32))


def _sync_at_once(url: str, count: int, model: str, options: dict[str, Any]) -> "list[InferResult | Exception]":
    with tritonclient.http.InferenceServerClient(url, concurrency=count) as client:
        asked = [client.async_infer(model, [_row(index)], **options) for index in range(count)]
        return [_result(one.get_result) for one in asked]


def _result(get_result: Callable[[], InferResult]) -> "InferResult | Exception":
    try:
        return get_result()
    except tritonclient.http.InferenceServerException as error:
        return error


def _aio_at_once(url: str, count: int, model: str, options: dict[str, Any]) -> "list[InferResult | Exception]":
    async def ask() -> list[Any]:
        async with tritonclient.http.aio.InferenceServerClient(url) as client:
            asked = [client.infer(model, [_row(index)], **options) for index in range(count)]
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


async def _new_aio_client(url: str, package: Any) -> Any:
    return package.InferenceServerClient(url)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
