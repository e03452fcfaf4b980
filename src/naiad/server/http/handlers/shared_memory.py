# SPDX-License-Identifier: Apache-2.0
"""Registering shared memory, system and CUDA; of the latter there is never any."""

from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.protocol import documents
from naiad.protocol.shared_memory import decode_register_request
from naiad.server.http.exchange import JSON, Exchange
from naiad.shm.regions import Regions


class SharedMemoryHandlers:
    """Answers about `regions`."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    def status(self, exchange: Exchange, region: str) -> None:
        """`GET /v2/systemsharedmemory[/region/{region}]/status`."""
        exchange.respond(200, JSON, (documents.dumps(documents.regions(self._regions.status(region))),))

    def register(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/systemsharedmemory/region/{region}/register`."""
        self._regions.check_allowed()
        self._regions.register(region, *decode_register_request(exchange.body))
        exchange.respond(200)

    def unregister(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/systemsharedmemory[/region/{region}]/unregister`."""
        self._regions.unregister(region)
        exchange.respond(200)

    def cuda_status(self, exchange: Exchange, region: str) -> None:
        """`GET /v2/cudasharedmemory[/region/{region}]/status`: none."""
        if region:
            raise NotFoundError(f"Unable to find cuda shared memory region: '{region}'")
        exchange.respond(200, JSON, (documents.dumps([]),))

    def cuda_register(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/cudasharedmemory/region/{region}/register`: refused, as by a Triton without GPU support."""
        self._regions.check_allowed()
        raise InvalidArgumentError(f"failed to register CUDA shared memory region: '{region}', GPUs not supported")

    def cuda_unregister(self, exchange: Exchange, region: str) -> None:
        """`POST /v2/cudasharedmemory[/region/{region}]/unregister`."""
        self._regions.check_allowed()
        exchange.respond(200)
