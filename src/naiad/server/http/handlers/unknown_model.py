# SPDX-License-Identifier: Apache-2.0
"""A better answer for clients that ask for a model called `v2`."""

from collections.abc import Callable
from typing import TypeVar

from naiad.engine.dataplane import DataPlane
from naiad.errors import NotFoundError

T = TypeVar("T")


def look_up(dataplane: DataPlane, question: Callable[[str, str], T], name: str, version: str) -> T:
    """Ask `dataplane` a `question` about a model.

    Raises:
        NotFoundError: there is none of that name and version; for one called `v2` with a hint.
        UnavailableError: it is not ready.
    """
    try:
        return question(name, version)
    except NotFoundError as error:
        raise _with_url_hint(error, name, dataplane) from None


def _with_url_hint(error: NotFoundError, name: str, dataplane: DataPlane) -> NotFoundError:
    """Return `error`, or for a model called `v2` one that says how to write the URL.

    Ultralytics takes the first part of a URL's path for the model's name, so that the form its own documentation
    shows, `http://host:port/v2/models/yolo`, asks for `v2`.
    """
    if name != "v2":
        return error
    loaded = sorted({entry.name for entry in dataplane.index(ready_only=True)})
    return NotFoundError(
        f"{error}. The model's name is the first part of the URL's path: use http://host:port/<model>, "
        f"not http://host:port/v2/models/<model>. Loaded models: {', '.join(loaded) or 'none'}"
    )
