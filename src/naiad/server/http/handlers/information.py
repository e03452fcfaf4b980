# SPDX-License-Identifier: Apache-2.0
"""Health, metadata, configs, statistics and the repository index."""

from naiad.engine.dataplane import DataPlane
from naiad.protocol.rest import documents
from naiad.protocol.rest.request import decode_index_request
from naiad.protocol.rest.response import encode_error
from naiad.server.http.exchange import JSON, TEXT, Exchange
from naiad.server.http.handlers.unknown_model import look_up

_MODEL_NOT_READY = encode_error("Model version not ready")


class InformationHandlers:
    """Everything that is answered from what the data plane tells."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def server_live(self, exchange: Exchange) -> None:
        """`GET /v2/health/live`: 200 or 400, empty."""
        exchange.respond(200 if self._dataplane.live() else 400, TEXT)

    def server_ready(self, exchange: Exchange) -> None:
        """`GET /v2/health/ready`: 200 or 400, empty."""
        exchange.respond(200 if self._dataplane.ready() else 400, TEXT)

    def model_ready(self, exchange: Exchange, model: str, version: str) -> None:
        """`GET /v2/models/{model}/ready`: 200, empty, or 400; also for one that doesn't exist, as Triton 2.51."""
        if self._dataplane.model_ready(model, version):
            exchange.respond(200, TEXT)
        else:
            exchange.respond(400, TEXT, (_MODEL_NOT_READY,))

    def server_metadata(self, exchange: Exchange) -> None:
        """`GET /v2`."""
        _answer(exchange, documents.server_metadata(self._dataplane.server_metadata()))

    def model_metadata(self, exchange: Exchange, model: str, version: str) -> None:
        """`GET /v2/models/{model}`."""
        metadata = look_up(self._dataplane, self._dataplane.model_metadata, model, version)
        _answer(exchange, documents.model_metadata(metadata))

    def model_config(self, exchange: Exchange, model: str, version: str) -> None:
        """`GET /v2/models/{model}/config`."""
        config = look_up(self._dataplane, self._dataplane.model_config, model, version)
        _answer(exchange, documents.model_config(config))

    def all_statistics(self, exchange: Exchange) -> None:
        """`GET /v2/models/stats`."""
        _answer(exchange, documents.statistics(self._dataplane.statistics()))

    def model_statistics(self, exchange: Exchange, model: str, version: str) -> None:
        """`GET /v2/models/{model}/stats`."""
        _answer(exchange, documents.statistics(self._dataplane.statistics(model, version)))

    def repository_index(self, exchange: Exchange, repository: str = "") -> None:
        """`POST /v2/repository/index`; a `repository` in the path is ignored, as in Triton."""
        ready_only = decode_index_request(exchange.body)
        _answer(exchange, documents.index(self._dataplane.index(ready_only)))


def _answer(exchange: Exchange, document: object) -> None:
    exchange.respond(200, JSON, (documents.dumps(document),))
