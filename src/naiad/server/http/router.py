# SPDX-License-Identifier: Apache-2.0
"""From method and path to a handler.

Paths are matched in full and as they are on the wire: no decoding, no trailing slash, the query aside.
May import `exchange` and `transport.access`, nothing else.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from naiad.protocol.rest.response import encode_error
from naiad.server.http.exchange import JSON, TEXT, Exchange
from naiad.server.transport.access import Lock

RouteHandler = Callable[..., None]
"""Called with the exchange and the texts of the path's `{...}` parts, an absent optional one as ""."""

_MEMOISED_PATHS = 1024
_NOT_FOUND = encode_error("Not Found")
_NOT_ALLOWED = encode_error("Method Not Allowed")
_PART = re.compile(r"\{(\w+)\}")


class Route(NamedTuple):
    """`methods` (separated by a space) on `path` are `handler`'s.

    In `path`, `{version}` is a number and any other `{name}` anything but a slash; what stands in brackets may be
    absent: "/v2/models/{model}[/versions/{version}]/ready".
    """

    methods: str
    path: str
    handler: RouteHandler


class _Match(NamedTuple):
    methods: dict[str, RouteHandler]
    arguments: tuple[str, ...]
    lock: Lock | None


def _open_to_all(path: str) -> Lock | None:  # noqa: ARG001 - whatever it is
    return None


class Router:
    """Hands each exchange to its route's handler. Of several routes that match a path, the first ones' are taken.

    `lock_of` gives the lock of a route's path, None for one that is open to all.
    """

    def __init__(self, routes: Iterable[Route], lock_of: Callable[[str], Lock | None] = _open_to_all) -> None:
        table: dict[str, dict[str, RouteHandler]] = {}
        for route in routes:
            methods = table.setdefault(route.path, {})
            methods.update(dict.fromkeys(route.methods.split(), route.handler))
        self._table = [(_compile(path), methods, lock_of(path)) for path, methods in table.items()]
        self._match = lru_cache(_MEMOISED_PATHS)(self._search)

    def __call__(self, exchange: Exchange) -> None:
        """Call the handler, or answer 404, 403 or 405, in this order as Triton."""
        match = self._match(exchange.head.path)
        if match is None:
            exchange.respond(404, TEXT, (_NOT_FOUND,))
            return
        lock = match.lock
        if lock is not None and not lock.opens(exchange.head.headers.get(lock.field_name)):
            text = f"This API is restricted, expecting header '{lock.header}'"
            exchange.respond(403, TEXT, (encode_error(text),))
            return
        handler = match.methods.get(exchange.head.method)
        if handler is None:
            exchange.respond(405, JSON, (_NOT_ALLOWED,))
            return
        handler(exchange, *match.arguments)

    def _search(self, path: str) -> _Match | None:
        for pattern, methods, lock in self._table:
            found = pattern.fullmatch(path)
            if found:
                return _Match(methods, found.groups(default=""), lock)
        return None


def _compile(path: str) -> re.Pattern[str]:
    optional = path.replace("[", "(?:").replace("]", ")?")
    return re.compile(_PART.sub(lambda part: "([0-9]+)" if part[1] == "version" else "([^/]+)", optional))
